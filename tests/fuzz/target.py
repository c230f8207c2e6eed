"""What a target of the fuzzer is, and what it raises."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


class FalseAccept(AssertionError):
    """A parser took what it must not take."""


@dataclass(frozen=True)
class Target:
    """`takes` says whether the bytes were taken, and raises `FalseAccept`; `seeds` are bytes to begin with."""

    name: str
    takes: Callable[[bytes], bool]
    seeds: Callable[[], Sequence[bytes]]


def is_one_form(content: bytes, again: bytes) -> bool:
    """What was taken, written anew, must be the same bytes."""
    if again != content:
        raise FalseAccept(f"taken: {content!r}, written anew: {again!r}")
    return True
