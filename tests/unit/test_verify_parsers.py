"""The verifier's parsers: one form of everything, no exception and no hang whatever they are given."""

import base64
import hashlib
import json
import math
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import verify as v
from evidence.envelope import sign
from evidence.statement import PredicateType, canonical, statement
from tests.paper_package import Auditor, Files, Installation, Period, Run, a_period, digest

SAFE = 2**53 - 1
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    """Equal, where 1 and 1.0 are the same number, as in JSON."""
    return bool(rfc8785.dumps(one) == rfc8785.dumps(other))


@settings(max_examples=1000)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-SAFE, SAFE).map(float))
def test_numbers_are_written_as_rfc_8785_does(number: float) -> None:
    assert v.number_text(number).encode() == rfc8785.dumps(number)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        v.number_text(number)


@settings(max_examples=500)
@given(VALUES)
def test_canonical_json_is_read_and_written_as_rfc_8785_does(value: Any) -> None:
    try:
        content = rfc8785.dumps(value)
    except rfc8785.CanonicalizationError:  # a lone surrogate
        return
    assert v.canonical(value).encode() == content
    assert same(v.parse_json(content), value)


@settings(max_examples=500)
@given(VALUES, st.integers(0, 7), st.data())
def test_no_other_form_of_json_is_read(value: Any, bit: int, data: st.DataObject) -> None:
    """Of all changes of one bit those that are read are canonical themselves."""
    try:
        content = bytearray(rfc8785.dumps(value))
    except rfc8785.CanonicalizationError:
        return
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << bit
    try:
        found = v.parse_json(bytes(content))
    except (ValueError, RecursionError):
        return
    assert rfc8785.dumps(found) == bytes(content)


OTHER_FORMS = [
    b'{"b":1,"a":2}', b'{"a": 1}', b'{"a":1}\n', b' {"a":1}', b'{"a":1,"a":1}', b'{"a":1.0}', b'{"a":1e0}', b'{"a":-0}',
    b'{"a":01}', b'{"a":"\\u0041"}', b'{"a":"\\/"}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1e999}',
    b'{"a":9007199254740993}', b'{"a":"\\ud800"}', b"\xef\xbb\xbf{}", b'\xff\xfe{\x00}\x00', b'{"a":"\xed\xa0\x80"}',
    '{"\U00010000":1,"\uffff":2}'.encode()[::-1], '{"\uffff":2,"\U00010000":1}'.encode(), b'{"a":"\x01"}', b'{"a":1}{}',
    b"", b"{", b"[]", b"null", b"1", b'"a"',
]  # fmt: skip


@pytest.mark.parametrize("content", OTHER_FORMS)
def test_other_forms_of_an_object_are_refused(content: bytes) -> None:
    assert v.parse_object(content) is None


def test_keys_are_in_the_order_of_utf_16() -> None:
    content = '{"\U00010000":1,"\uffff":2}'.encode()
    assert rfc8785.dumps({"\uffff": 2, "\U00010000": 1}) == content
    assert v.parse_object(content) is not None


HARD = {
    "deep list": b"[" * 200_000 + b"]" * 200_000,
    "deep object": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "deep and not ASCII": '{"\u00e9":'.encode() * 2000 + b"1" + b"}" * 2000,
    "long integer": b"1" * 1_000_000,
    "long float": b"0." + b"1" * 1_000_000,
    "long exponent": b"1e" + b"1" * 1_000_000,
    "long text": b'"' + b"a" * 1_000_000,
    "many backslashes": b'"' + b"\\" * 1_000_001,
}
PARSERS: dict[str, Callable[[bytes], Any]] = {
    "object": v.parse_object,
    "envelope": v.open_envelope,
    "envelope of two": lambda content: v.open_envelope(content, 2),
    "statement": v.parse_statement,
    "entry": lambda content: None if isinstance(found := v.parse_entry(0, content), str) else found,
    "population": lambda content: None if isinstance(found := v.parse_population(content), str) else found,
    "note": v.parse_note,
    "checkpoint": v.parse_checkpoint,
    "proof": v.parse_tlog_proof,
    "signature lines": v.parse_signature_lines,
    "witness": lambda content: v.parse_vkey(content.decode("utf-8", "replace")),
    "key": lambda content: v.parse_key(content.decode("ascii", "replace")),
    "time": lambda content: v.parse_time(content.decode("ascii", "replace")),
    "hash": lambda content: v.parse_hash(content.decode("utf-8", "replace")),
    "number": lambda content: v.parse_decimal(content.decode("utf-8", "replace")),
}


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("what", HARD)
def test_no_parser_hangs_or_falls(parser: str, what: str) -> None:
    assert PARSERS[parser](HARD[what]) is None


LONG = {
    "PEM of spaces": b"-----BEGIN PUBLIC KEY-----" + b" " * 1_000_000 + b"x-----END PUBLIC KEY-----",
    "note of dashes": "\u2014 ".encode() * 300_000,
    "note of lines": b"a\n\n" + "\u2014 a AAAAAAAA\n".encode() * 50_000,
    "proof of hashes": b"c2sp.org/tlog-proof@v1\nindex 0\n" + b"A" * 43 + b"=\n" + (b"A" * 43 + b"=\n") * 20_000,
    "spaces": b" " * 1_000_000,
    "newlines": b"\n" * 1_000_000,
    "signatures": canonical(
        {"payload": "", "payloadType": v.IN_TOTO, "signatures": [{"keyid": "", "sig": "AA=="}] * 50_000}
    ),
}


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("what", LONG)
def test_no_parser_is_slow_on_what_is_long(parser: str, what: str) -> None:
    found = PARSERS[parser](LONG[what])
    assert found is None or (parser, what) == ("object", "signatures")


FOREIGN = (
    st.binary()
    | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
    | VALUES.map(json.dumps).map(str.encode)
)


@pytest.mark.parametrize("parser", PARSERS)
@given(content=FOREIGN)
def test_no_parser_raises(parser: str, content: bytes) -> None:
    PARSERS[parser](content)


@given(st.lists(st.binary(max_size=50)))
def test_entry_bundles_come_back(entries: list[bytes]) -> None:
    content = b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)
    assert v.parse_entry_bundle(content) == tuple(entries)
    assert v.parse_entry_bundle(content + b"\0") is None


@given(st.binary(max_size=200))
def test_an_entry_bundle_has_one_form(content: bytes) -> None:
    entries = v.parse_entry_bundle(content)
    if entries is not None:
        assert b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries) == content


SEGMENTS = st.text("abcXYZ0189._+=,@-", min_size=1, max_size=100)


@given(st.lists(SEGMENTS, min_size=1, max_size=8).map("/".join), st.integers(0, 8**11))
def test_tar_headers_are_those_of_the_standard_library(name: str, size: int) -> None:
    if len(name) > 200:
        return
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    try:
        expected = info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    except ValueError:
        expected = None
    assert v.tar_header(name, size) == expected


def p256() -> tuple[ec.EllipticCurvePrivateKey, v.PublicKey]:
    private = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    key = v.parse_key(private.public_key().public_bytes(*form).decode())
    assert key is not None
    return private, key


@pytest.mark.parametrize("judge", [v.judge_by_cryptography, v.judge_by_openssl])
def test_both_judges_know_both_kinds_of_keys(tmp_path: Path, judge: v.Judge) -> None:
    v.assert_able(judge)
    private, key = p256()
    signature = private.sign(b"message", ec.ECDSA(hashes.SHA256()))
    assert judge(key.der, signature, b"message")
    assert not judge(key.der, signature, b"other")
    assert not judge(key.der, signature + b"\0", b"message")
    assert not judge(p256()[1].der, signature, b"message")
    home = Installation(tmp_path)
    ed25519 = v.load_key(home.pinned)
    signature = bytes.fromhex(home.seal.sign(b"message").signature)
    assert judge(ed25519.der, signature, b"message")
    assert not judge(ed25519.der, signature, b"other")
    for changed in (
        signature[:-1],
        signature + b"\0",
        bytes(64),
        b"",
        signature[:32]
        + (int.from_bytes(signature[32:], "little") + 2**252 + 27742317777372353535851937790883648493).to_bytes(
            33, "little"
        )[:32],
    ):
        assert not judge(ed25519.der, changed, b"message")
    assert not judge(ed25519.der[:-1], signature, b"message")
    assert not judge(b"", signature, b"message")


def test_a_key_of_another_kind_is_none() -> None:
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    other = ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(*form).decode()
    assert v.parse_key(other) is None
    _, key = p256()
    assert v.parse_key(key.pem) == key
    assert v.parse_key(key.pem.replace("\n", "\r\n")) == key
    for wrong in (key.pem[:-30], key.pem.replace("PUBLIC", "PRIVATE"), key.pem * 2, "x" + key.pem, ""):
        assert v.parse_key(wrong) is None


def test_a_statement_has_one_form() -> None:
    good = statement({"a": "0" * 64, "b": "1" * 64}, {"x": 1.5}, PredicateType.PROBE)
    found = v.parse_statement(good)
    assert found == v.Statement(v.PROBE, {"a": "0" * 64, "b": "1" * 64}, {"x": 1.5})
    said = json.loads(good)
    for wrong in (
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"subject": said["subject"][::-1]},
        {"subject": said["subject"][:1] * 2},
        {"subject": [{"digest": {"sha256": "0" * 63}, "name": "a"}]},
        {"subject": [{"digest": {"sha256": "A" * 64}, "name": "a"}]},
        {"subject": [{"digest": {"sha1": "0" * 40, "sha256": "0" * 64}, "name": "a"}]},
        {"subject": [{"digest": {"sha256": "0" * 64}, "name": "a", "uri": ""}]},
        {"subject": None},
        {"predicate": []},
        {"more": 1},
    ):
        assert v.parse_statement(canonical(said | wrong)) is None, wrong
    assert v.parse_statement(good + b"\n") is None


def test_an_entry_has_one_form(tmp_path: Path) -> None:
    period = a_period(Installation(tmp_path))
    for index, content in enumerate(period.entries):
        entry = v.parse_entry(index, content)
        assert not isinstance(entry, str)
        assert entry.leaf == hashlib.sha256(b"\0" + content).digest()
        said = json.loads(content)
        for name in said:
            less = {other: value for other, value in said.items() if other != name}
            assert isinstance(v.parse_entry(index, canonical(less)), str), name
            for value in (None, 1, "", [], {}, True):
                if type(value) is not type(said[name]) and not (value is None and name in ("slot", "scheduledAt")):
                    assert isinstance(v.parse_entry(index, canonical(said | {name: value})), str), (name, value)
        assert isinstance(v.parse_entry(index, canonical(said | {"more": 1})), str)
        assert isinstance(v.parse_entry(index, canonical(said | {"kind": "other"})), str)
        assert isinstance(v.parse_entry(index, canonical(said | {"loggedAt": "2026-07-01T00:00:00+00:00"})), str)


@dataclass(frozen=True)
class Sent:
    """A healthy package, who looks at it, and the one before it."""

    period: Period
    auditor: Auditor
    before: Path

    def look(self, files: Files) -> v.Report:
        return self.auditor.look(self.period.package(files), before=self.before)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    folder = tmp_path_factory.mktemp("foreign")
    period = a_period(Installation(folder))
    first = period.package()
    (folder / "2026-Q2.tar.gz").write_bytes(first)
    period.files["previous.json"] = canonical({"name": "2026-Q2", "sha256": digest(first)})
    link = {"key": Run(4).key, "sha256": "0" * 64, "size": 1, "url": ""}
    period.files["links.json"] = canonical([link | {"sha256": digest(period.files.pop(f"runs/{Run(4).key}"))}])
    return Sent(period, Auditor(folder, period.home.pinned), folder / "2026-Q2.tar.gz")


@settings(max_examples=200)
@given(st.binary(max_size=300), st.data())
def test_foreign_bytes_anywhere_in_a_package_raise_nothing(sent: Sent, content: bytes, data: st.DataObject) -> None:
    """Each file of a sealed package replaced by anything, or spliced with it: never an exception."""
    files = sent.period.all_files()
    name = data.draw(st.sampled_from(sorted(files)))
    at = data.draw(st.integers(0, len(files[name])))
    changed = data.draw(st.sampled_from([content, files[name][:at] + content + files[name][at:]]))
    report = sent.look(files | {name: changed})
    assert report.verdict == "fail" or changed == files[name] or name == "README.txt"


def replaced(value: Any, data: st.DataObject, new: Any) -> Any:
    """The value with another in one place, drawn by chance; three times of four it is further in."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 3)):
        name = data.draw(st.sampled_from(sorted(value)))
        return value | {name: replaced(value[name], data, new)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 3)):
        place = data.draw(st.integers(0, len(value) - 1))
        return [*value[:place], replaced(value[place], data, new), *value[place + 1 :]]
    return new


@settings(max_examples=500)
@given(VALUES, st.data())
def test_any_value_in_any_place_of_a_package_raises_nothing(sent: Sent, value: Any, data: st.DataObject) -> None:
    """Well-formed, signed by the right key, and of the wrong kind somewhere."""
    files = sent.period.all_files()
    name = data.draw(st.sampled_from([each for each in sorted(files) if each.endswith(".json")]))
    try:
        if name.endswith(".dsse.json"):
            payload = json.loads(base64.b64decode(json.loads(files[name])["payload"]))
            changed = sign(rfc8785.dumps(replaced(payload, data, value)), sent.period.home.seal)
        else:
            changed = rfc8785.dumps(replaced(json.loads(files[name]), data, value))
    except rfc8785.CanonicalizationError:
        return
    for content in (changed, files["log/entries.jsonl"]):
        sent.look(files | {name: content})


@settings(max_examples=300)
@given(VALUES, st.data())
def test_any_value_in_any_place_of_an_entry_raises_nothing(sent: Sent, value: Any, data: st.DataObject) -> None:
    """Re-chained and under a head of its own, so that nothing stands between the entry and what reads it."""
    entries = [json.loads(entry) for entry in sent.period.entries]
    place = data.draw(st.integers(0, len(entries) - 1))
    entries[place] = replaced(entries[place], data, value)
    last, chained = bytes(32), []
    try:
        for entry in entries:
            if isinstance(entry, dict):
                entry["previous"] = last.hex()
            chained.append(rfc8785.dumps(entry))
            last = v.leaf_hash(chained[-1])
    except rfc8785.CanonicalizationError:
        return
    forged = Period(sent.period.home, sent.period.files, chained, sent.period.rows, sent.period.logged_at)
    sent.auditor.look(forged.package(), before=sent.before)


def test_base64_has_one_form() -> None:
    assert v.unbase64("AA==") == b"\0"
    for wrong in ("AB==", "AA=", "AA", "AA==\n", " AA==", "AA==AA==", "A\u0410==", "=="):
        assert v.unbase64(wrong) is None
    assert v.unbase64(base64.b64encode(bytes(range(256))).decode()) == bytes(range(256))


@pytest.mark.parametrize(
    ("text", "is_time"),
    [
        ("2026-07-01T00:00:00Z", True),
        ("2026-07-01T00:00:00.000001Z", True),
        ("2026-07-01T00:00:00+00:00", True),
        ("2026-07-01T00:00:00", False),
        ("2026-07-01T00:00:00+02:00", False),
        ("2026-07-01 00:00:00Z", False),
        ("2026-02-30T00:00:00Z", False),
        ("2026-07-01T24:00:00Z", False),
        ("2026-07-01T00:00:60Z", False),
        ("2026-07-01T00:00:00.1Z", False),
        ("0000-01-01T00:00:00Z", False),
        ("\u0662026-07-01T00:00:00Z", False),
        ("", False),
    ],
)
def test_times(text: str, is_time: bool) -> None:
    assert (v.parse_time(text) is not None) == is_time
    assert v.parse_time(None) is None
