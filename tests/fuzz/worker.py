"""Fuzzes one target, until the time is over or something is found: `python -m tests.fuzz.worker TARGET`."""

import sys

import atheris

with atheris.instrument_imports(include=["evidence"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """The first argument is the target; the others are for libFuzzer."""
    target = TARGETS[sys.argv.pop(1)]

    def one(content: bytes) -> None:
        target.takes(content)

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
