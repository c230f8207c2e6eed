"""What a job's result is, in a few numbers that do not depend on the order of its rows.

Promises: two results of the same rows have the same digest, however they are ordered and partitioned; a row lost,
doubled or changed changes it; digests of parts add up to the digest of the whole. The chance that two different results
of n rows agree by accident is below n * 2^-64: three quantities of 64-bit hashes would all have to agree.
"""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict

_MASK = 2**64 - 1


class Digest(BaseModel):
    """Rows counted, their hashes combined by exclusive or and by sum (signed, unbounded)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    xor: str
    """Sixteen hexadecimal digits."""
    sum: str
    """Decimal: JSON numbers would lose digits."""
    damaged: int = 0
    """Rows that are not what their own id says; 0 where rows do not say."""

    @classmethod
    def of(cls, rows: int, xor: int, total: int, damaged: int = 0) -> "Digest":
        """From numbers; `xor` may be signed."""
        return cls(rows=rows, xor=f"{xor & _MASK:016x}", sum=str(total), damaged=damaged)


EMPTY = Digest.of(0, 0, 0)


class Answer(BaseModel):
    """A whole result: its digest, and that of each part that means something to the job (a key range, a day)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    whole: Digest
    parts: Mapping[str, Digest] = {}

    @property
    def adds_up(self) -> bool:
        """Whether the parts are the whole: what has rows has parts."""
        return combined(self.parts.values()) == self.whole


def combined(digests: Iterable[Digest]) -> Digest:
    """The digest of all their rows together."""
    rows = xor = total = damaged = 0
    for digest in digests:
        rows, xor, total = rows + digest.rows, xor ^ int(digest.xor, 16), total + int(digest.sum)
        damaged += digest.damaged
    return Digest.of(rows, xor, total, damaged)


def differences(expected: Answer, seen: Answer) -> tuple[str, ...]:
    """The parts in which two results differ, in words; empty when the results are the same."""
    told = []
    for part in sorted({*expected.parts, *seen.parts}):
        want, got = expected.parts.get(part, EMPTY), seen.parts.get(part, EMPTY)
        if want != got:
            told.append(f"{part}: {_difference(want, got)}")
    if not told and expected.whole != seen.whole:
        told.append(_difference(expected.whole, seen.whole))
    return tuple(told)


def _difference(want: Digest, got: Digest) -> str:
    if got.damaged:
        return f"{got.damaged:,} of {got.rows:,} rows are damaged"
    if want.rows != got.rows:
        return f"{got.rows:,} rows, not {want.rows:,} ({got.rows - want.rows:+,})"
    return f"{got.rows:,} rows, as many as expected, but not the same"
