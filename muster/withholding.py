"""Withholding: values that evidence shall not show, as salted hashes in their place; one can be disclosed later.

Promises: the same run gives the same bytes, since a salt follows from a key of this installation, the run and the
value; a salt tells nothing of another value, nor of the same one in another run; what the log names stays.
By hand: `(printf '%s' SALT | xxd -r -p; printf '%s' VALUE) | sha256sum` gives the digest that stands in the evidence.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evidence import durable
from muster.errors import UsageError
from muster.summary import Summary

_TOKEN = re.compile(r"withheld:sha256:[0-9a-f]{64}")
_IDENTITY = ("run", "plan", "kind", "plan_digest", "substance", "flow_run")
"""What the log names a run by."""


@dataclass(frozen=True)
class Withholder:
    """Withholds what fits `patterns` from the evidence of one run; `key` is 32 bytes that never leave."""

    run: str
    key: bytes
    patterns: tuple[str, ...]

    def text(self, text: str) -> str:
        """The text with each match replaced. What is withheld already stays as it is."""
        if not self.patterns:
            return text
        kept = _TOKEN.findall(text)
        pieces = [self._fit.sub(lambda match: self.token(match[0]), piece) for piece in _TOKEN.split(text)]
        return "".join(piece + token for piece, token in zip(pieces, [*kept, ""], strict=True))

    def value(self, value: Any) -> Any:
        """The same for every text in JSON-able data; keys stay."""
        match value:
            case str():
                return self.text(value)
            case list() | tuple():
                return [self.value(one) for one in value]
            case dict():
                return {key: self.value(one) for key, one in value.items()}
        return value

    def summary(self, summary: Summary) -> Summary:
        """The summary to show; what names the run stays. Raises `UsageError` when a pattern fits a needed word."""
        if not self.patterns:
            return summary
        whole = summary.model_dump(mode="json")
        try:
            return Summary.model_validate(self.value(whole) | {name: whole[name] for name in _IDENTITY})
        except ValueError as error:
            raise UsageError(
                f"a pattern in 'withhold' fits a word that evidence needs: {error}", "make it fit less"
            ) from error

    def token(self, value: str) -> str:
        """What stands in a value's place."""
        return f"withheld:sha256:{self.disclosure(value)['digest']}"

    def disclosure(self, value: str) -> dict[str, str]:
        """What proves that this value was withheld, and no other: to be shown to whom it concerns."""
        salt = hmac.digest(self.key, f"{self.run}\n{value}".encode(), "sha256")[:16]
        digest = hashlib.sha256(salt + value.encode()).hexdigest()
        return {"digest": digest, "run": self.run, "salt": salt.hex(), "value": value}

    @cached_property
    def _fit(self) -> re.Pattern[str]:
        return re.compile("|".join(f"(?:{pattern})" for pattern in self.patterns))


def withholding_key(path: Path) -> bytes:
    """The key at `path`, made once, readable by its owner only. Who loses it can disclose nothing any more."""
    if not path.exists():
        durable.write_once(path, secrets.token_bytes(32))
    return path.read_bytes()


def withhold_in_logs(folder: Path, withholder: Withholder) -> None:
    """Rewrite every log in the folder that holds a match; the others stay as they are."""
    for path in sorted(folder.glob("*.log")) if withholder.patterns and folder.is_dir() else ():
        partial = path.with_suffix(".partial")
        changed = False
        with (
            path.open(encoding="utf-8", errors="surrogateescape", newline="") as source,
            partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out,
        ):
            for line in source:
                shown = withholder.text(line)
                changed = changed or shown != line
                out.write(shown)
        partial.replace(path) if changed else partial.unlink()
