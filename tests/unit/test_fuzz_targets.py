"""The fuzzer's targets without the fuzzer: they take what is right and nothing else, and see a lenient parser."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import verify
from tests.fuzz.target import FalseAccept
from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).parents[1] / "fuzz" / "found"
_SLOW = {
    "bundle": 40, "bundle-inside": 40, "token": 100, "archive": 100, "package-inside": 25, "package-file": 40,
    "package-after": 40,
}  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed after a few changes."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        width = draw(st.integers(0, 8))
        match draw(st.sampled_from(["flip", "put", "cut", "twice", "splice"])):
            case "flip" if at < len(content):
                content = content[:at] + bytes([content[at] ^ 1 << draw(st.integers(0, 7))]) + content[at + 1 :]
            case "put":
                content = content[:at] + draw(st.binary(max_size=8)) + content[at:]
            case "cut":
                content = content[:at] + content[at + width :]
            case "twice":
                content = content[: at + width] + content[at:]
            case "splice":
                other = draw(st.sampled_from(seeds))
                content = content[:at] + other[draw(st.integers(0, len(other))) :]
    return content


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_right_is_taken(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    assert seeds
    assert all(map(target.takes, seeds))


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_changed_is_refused_or_is_right(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=_SLOW.get(name, 300))
    @given(changed(list(target.seeds())))
    def every(content: bytes) -> None:
        target.takes(content)

    every()


@pytest.mark.parametrize("name", TARGETS)
@given(content=st.binary(max_size=300))
@settings(max_examples=30)
def test_any_bytes_are_no_crash(name: str, content: bytes) -> None:
    TARGETS[name].takes(content)


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=f"{path.parent.name}-{path.name}") for path in sorted(FOUND.glob("*/*"))] or [None]
)
def test_what_was_found_once_is_mended(path: Path | None) -> None:
    if path is not None:
        TARGETS[path.parent.name].takes(path.read_bytes())


@pytest.mark.parametrize(
    ("name", "attribute", "lenient", "spoil"),
    [
        ("note", "parse_note", lambda right: lambda content: right(content.replace(b"\r", b"")), b"\r%b"),
        ("checkpoint", "parse_checkpoint", lambda right: lambda text: right(text.replace(b"=\n\n", b"=\n")), b"%b\n"),
        ("entry-bundle", "parse_entry_bundle", lambda right: lambda content: right(content[:-1]), b"%b\0"),
        ("json", "parse_object", lambda right: json.loads, b" %b"),
        ("tlog-proof", "parse_tlog_proof", lambda right: lambda content: right(content.lstrip()), b"\n%b"),
        ("package-file", "Forms", lambda right: lambda *_: SimpleNamespace(departures=lambda forms: ()), None),
        ("package-after", "Walk", lambda right: type("", (right,), {"_rows_left_open": lambda self: iter(())}), None),
        ("signed-note", "note_signed_by", lambda right: lambda *_: True, None),
        ("consistency", "check_consistency", lambda right: lambda *_: True, None),
        ("inclusion", "check_inclusion", lambda right: lambda *_: True, None),
    ],
)
def test_a_lenient_parser_is_seen(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    attribute: str,
    lenient: Callable[[Any], Any],
    spoil: bytes | None,
) -> None:
    seeds = [seed for seed in TARGETS[name].seeds() if seed]
    whitewashed = next(seed for seed in TARGETS["package-file"].seeds() if b"<testsuites" in seed)
    whitewashed = whitewashed.replace(b' type="failed"', b' type="passed"', 1)
    told = next(seed for seed in TARGETS["package-after"].seeds())
    forgotten = json.dumps(json.loads(told) | {"carried": []}, separators=(",", ":"), sort_keys=True).encode()
    other = {
        "package-file": whitewashed,
        "package-after": forgotten,
        "signed-note": seeds[0].replace(b"\n3\n", b"\n4\n"),
        "consistency": b"\6\5\0",
        "inclusion": b"\1\7\2",
    }
    bad = spoil.replace(b"%b", seeds[0]) if spoil else other[name]
    assert not TARGETS[name].takes(bad)
    monkeypatch.setattr(verify, attribute, lenient(getattr(verify, attribute)))
    with pytest.raises(FalseAccept):
        TARGETS[name].takes(bad)
