"""Appending to the log: what is kept, what is proved, what is refused, and what a crash leaves."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner

from evidence.errors import EvidenceError, KeyProblem
from evidence.log import Draft, ForkAlarm, Log, Reader, View, writer
from evidence.log.heads import make_head, raw_public
from evidence.log.tiles import Edge
from evidence.verify import (
    check_consistency,
    check_inclusion,
    leaf_hash,
    note_signed_by,
    parse_checkpoint,
    parse_note,
    parse_tlog_proof,
    root_of,
)
from tests.unit.paper_log import (
    NOON,
    ORIGIN,
    Countdown,
    Killed,
    MemoryShelf,
    assert_whole,
    drafts,
    log,
    naive_files,
    public,
    signer,
)


def filled(*sizes: int) -> MemoryShelf:
    """A store with a log that was appended to in batches of these sizes."""
    shelf, number = MemoryShelf(), 0
    for size in sizes:
        log(shelf).append(drafts(*range(number, number + size)))
        number += size
    return shelf


@settings(max_examples=25)
@given(st.lists(st.integers(1, 300), max_size=4))
def test_what_is_appended_is_kept_as_the_format_says(sizes: list[int]) -> None:
    shelf = filled(*sizes)
    entries = assert_whole(shelf.content, range(sum(sizes)))
    view = log(shelf).view()
    assert [entry.content for entry in view.entries()] == entries
    assert [entry.content for entry in view.backwards()] == entries[::-1]
    assert [entry.content for entry in view.entries(len(entries) // 3, len(entries) // 2)] == (
        entries[len(entries) // 3 : len(entries) // 2]
    )


def test_an_append_tells_what_it_logged() -> None:
    shelf = filled(2)
    appended = log(shelf).append(drafts("a", "b"))
    assert [entry.index for entry in appended.entries] == [2, 3]
    assert [entry.fields["predicateType"] for entry in appended.entries] == ["test a", "test b"]
    assert appended.view.size == 4
    assert list(appended.view.entries(2)) == list(appended.entries)
    nothing = log(shelf).append([])
    assert (nothing.entries, nothing.view.size) == ((), 4)


def test_every_entry_is_proved_under_every_head() -> None:
    shelf = filled(1, 2, 250, 4, 60)
    reader = Reader(shelf, ORIGIN, [public()])
    views = [reader.view(size) for size in (1, 3, 253, 257, 317)]
    for view in views:
        for index in range(view.size):
            proof = parse_tlog_proof(view.prove(index))
            assert proof is not None
            assert (proof.index, proof.checkpoint) == (index, view.head.content)
            assert proof.extra == view.entry(index).content
            assert check_inclusion(index, view.size, leaf_hash(proof.extra), proof.hashes, view.head.root)
        for older in views:
            if older.size <= view.size:
                proof_of_growth = view.consistency(older.size)
                assert check_consistency(older.size, view.size, older.head.root, view.head.root, proof_of_growth)
                assert view.root_at(older.size) == older.head.root


def test_what_is_beyond_the_head_is_not_answered() -> None:
    view = log(filled(3)).view()
    for ask in (lambda: view.entry(3), lambda: view.entry(-1), lambda: view.prove(3), lambda: view.root_at(4)):
        with pytest.raises(EvidenceError, match="does not reach"):
            ask()
    with pytest.raises(EvidenceError, match="does not reach"):
        view.consistency(4)


def test_the_time_of_an_entry_never_goes_back() -> None:
    shelf = MemoryShelf()
    for minutes in (0, 5, -30, 2, 10):
        log(shelf, now=lambda minutes=minutes: NOON + timedelta(minutes=minutes)).append(drafts(minutes))
    times = [entry.logged_at - NOON for entry in log(shelf).view().entries()]
    assert times == [timedelta(minutes=minutes) for minutes in (0, 5, 5, 5, 10)]


def test_a_long_append_is_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST_ENTRIES", 7)
    shelf = MemoryShelf()
    appended = log(shelf).append(drafts(*range(20)))
    assert [entry.index for entry in appended.entries] == list(range(20))
    assert sorted(key for key in shelf.content if "heads" in key) == [f"log/heads/{n:020d}" for n in (7, 14, 20)]
    assert_whole(shelf.content, range(20))


def test_a_batch_takes_no_more_bytes_than_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_ENOUGH_BYTES", 1000)
    shelf = MemoryShelf()
    log(shelf).append(drafts(*range(9)))
    assert all(len(value) < 3000 for key, value in shelf.content.items() if "batches" in key)
    assert_whole(shelf.content, range(9))


def test_an_entry_too_long_for_the_log_is_refused_before_anything_is_written() -> None:
    shelf = MemoryShelf()
    [draft] = drafts("x")
    longest = 65_535 - len(log(shelf).append([draft]).entries[0].content)
    before = dict(shelf.content)
    too_long = Draft({**drafts("y")[0].fields, "key": draft.fields["key"] + "k" * (longest + 1)})
    with pytest.raises(EvidenceError, match="longer than"):
        log(shelf).append([too_long])
    assert shelf.content == before
    fitting = Draft({**drafts("y")[0].fields, "key": draft.fields["key"] + "k" * longest})
    assert len(log(shelf).append([fitting]).entries[0].content) == 65_535
    assert_whole(shelf.content)


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "line\nbreak", "tab\there", "nul\0", "no\u00a0break"])
def test_a_name_that_no_head_can_carry_is_refused(origin: str) -> None:
    with pytest.raises(EvidenceError, match="cannot be a log's name"):
        Log(MemoryShelf(), origin, signer(), now=lambda: NOON)


def test_a_key_that_cannot_sign_heads_is_refused() -> None:
    shelf = MemoryShelf()
    with pytest.raises(KeyProblem, match="not Ed25519"):
        Log(shelf, ORIGIN, CryptoSigner.generate_ecdsa(), now=lambda: NOON)
    assert shelf.content == {}


# --- Once --------------------------------------------------------------------------------------------------------


def test_what_was_logged_is_not_logged_again() -> None:
    shelf = filled(3)
    first = log(shelf).append_once(drafts("a", "b"), NOON)
    again = log(shelf).append_once(drafts("b", "c", "a"), NOON)
    assert [entry.index for entry in again.entries] == [4, 5, 3]
    assert again.entries[0] == first.entries[1]
    assert_whole(shelf.content, [0, 1, 2, "a", "b", "c"])
    before = dict(shelf.content)
    assert log(shelf).append_once(drafts("a", "b", "c"), NOON).view.size == 6
    assert shelf.content == before


def test_one_envelope_twice_in_an_append_is_one_entry() -> None:
    shelf = MemoryShelf()
    appended = log(shelf).append(drafts("a", "b", "a"))
    assert [entry.index for entry in appended.entries] == [0, 1, 0]
    assert_whole(shelf.content, ["a", "b"])


def test_looking_back_ends_at_the_time_that_is_given() -> None:
    shelf = MemoryShelf()
    for minutes in range(0, 300, 2):
        log(shelf, now=lambda minutes=minutes: NOON + timedelta(minutes=minutes)).append(drafts(minutes))
    view = log(shelf).view()
    [sought] = drafts(100)
    found = view.find(sought.envelope, NOON + timedelta(minutes=100))
    assert found is not None
    assert (found.index, found.logged_at) == (50, NOON + timedelta(minutes=100))
    assert view.find(sought.envelope, NOON + timedelta(minutes=101)) is None
    assert view.find("0" * 64, NOON) is None
    read: list[str] = []
    shelf.before = lambda verb, key: read.append(key) if "entries" in key else None
    log(shelf, now=lambda: NOON + timedelta(days=1)).append_once(drafts(298), NOON + timedelta(minutes=290))
    assert len(set(read)) == 1  # the bundle of the last ones alone


# --- Crashes -----------------------------------------------------------------------------------------------------


def killed_at(operation: int, moment: str, run: Callable[[Log], object], content: dict[str, bytes]) -> bool:
    """Whether a writer died, before or after the operation of this number; what it left is in `content`."""
    shelf = MemoryShelf(content)
    setattr(shelf, moment, Countdown(operation))
    try:
        run(log(shelf))
    except Killed:
        return True
    return False


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("there", "more"), [(0, 1), (3, 2), (255, 1), (256, 1), (250, 300)])
def test_a_crash_anywhere_is_mended_by_running_again(there: int, more: int, moment: str) -> None:
    start = filled(there).content if there else {}
    names = range(there, there + more)
    undisturbed = dict(start)
    log(MemoryShelf(undisturbed)).append(drafts(*names))

    def run(writer: Log) -> object:
        return writer.append_once(drafts(*names), NOON)

    operation, died = 0, True
    while died:
        content = dict(start)
        died = killed_at(operation, moment, run, content)
        appended = log(MemoryShelf(content)).append_once(drafts(*names), NOON)
        assert content == undisturbed
        assert [entry.index for entry in appended.entries] == list(names)
        operation += 1
    assert operation > 5
    assert_whole(undisturbed, range(there + more))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_is_mended_by_a_writer_with_other_entries(moment: str) -> None:
    start = filled(254).content
    operation, died, kept = 0, True, set()
    while died:
        content = dict(start)
        died = killed_at(operation, moment, lambda writer: writer.append(drafts("a", "b", "c")), content)
        log(MemoryShelf(content), now=lambda: NOON + timedelta(hours=1)).append(drafts("later"))
        size = log(MemoryShelf(content)).view().size
        assert_whole(content, [*range(254), *(["a", "b", "c"] if size == 258 else []), "later"])
        kept.add(size)
        operation += 1
    assert kept == {255, 258}  # before the batch was written nothing remains of it, from then on all


@pytest.mark.parametrize("moment", ["before", "after"])
def test_mending_alone_finishes_what_was_begun(moment: str) -> None:
    operation, died = 0, True
    while died:
        content: dict[str, bytes] = {}
        died = killed_at(operation, moment, lambda writer: writer.append(drafts(*range(300))), content)
        begun = bool(content)
        view = log(MemoryShelf(content)).mend()
        assert view.size == (300 if begun else 0)
        assert_whole(content, range(view.size))
        operation += 1


def test_a_crash_while_mending_is_mended_too() -> None:
    half: dict[str, bytes] = {}
    killed_at(4, "after", lambda writer: writer.append(drafts(*range(300))), half)
    assert [key for key in half if "heads" in key] == []
    undisturbed: dict[str, bytes] = {}
    log(MemoryShelf(undisturbed)).append(drafts(*range(300)))
    operation, died = 0, True
    while died:
        content = dict(half)
        died = killed_at(operation, "after", lambda writer: writer.mend(), content)
        log(MemoryShelf(content)).mend()
        assert content == undisturbed
        operation += 1


# --- Alarms ------------------------------------------------------------------------------------------------------


def assert_alarm(shelf: MemoryShelf, match: str, act: Callable[[], object] | None = None) -> None:
    """The next append is an alarm that says what to do, and nothing was written."""
    before = dict(shelf.content)
    with pytest.raises(ForkAlarm, match=match) as caught:
        (act or (lambda: log(shelf).append(drafts("next"))))()
    assert "write nothing more" in caught.value.advice
    assert shelf.content == before


def head_at(size: int, root: bytes, seed: int = 0) -> tuple[str, bytes]:
    return f"log/heads/{size:020d}", make_head(ORIGIN, size, root, signer(seed)).content


def test_a_foreign_head_of_the_next_size_is_an_alarm() -> None:
    shelf = filled(3)
    key, content = head_at(4, bytes(32))
    raised = []

    def appear(verb: str, name: str) -> None:
        if verb == "put" and name == key and not raised:
            raised.append(name)
            shelf.content[key] = content

    shelf.before = appear
    with pytest.raises(ForkAlarm, match="two heads of size 4"):
        log(shelf).append(drafts("next"))
    assert_alarm(shelf, "tile/0/000.p/4" if "log/tile/0/000.p/4" not in shelf.content else "does not stand for")


@pytest.mark.parametrize(
    ("forge", "match"),
    [
        (lambda: head_at(4, bytes(32), seed=1), "is not a head that a key of the log"),
        (lambda: (head_at(4, bytes(32))[0], b"garbage"), "is not a head that a key of the log"),
        (lambda: (head_at(5, bytes(32))[0], head_at(4, bytes(32))[1]), "is not a head that a key of the log"),
        (
            lambda: (head_at(4, bytes(32))[0], make_head("example.org/other", 4, bytes(32), signer()).content),
            "is not a head",
        ),
        (lambda: ("log/heads/zzz", b""), "is no name of a head"),
        (lambda: ("log/heads/0000000000000000000\u0664", b""), "is no name of a head"),
        (lambda: head_at(4, bytes(32)), "the log needs log/tile/0/000.p/4"),
    ],
)
def test_a_head_that_no_honest_writer_made_is_an_alarm(forge: Callable[[], tuple[str, bytes]], match: str) -> None:
    shelf = filled(3)
    key, content = forge()
    shelf.content[key] = content
    assert_alarm(shelf, match)


def test_a_head_with_a_second_signature_is_an_alarm() -> None:
    shelf = filled(3)
    key = f"log/heads/{3:020d}"
    shelf.content[key] += b"\xe2\x80\x94 witness.example AAAAAAAA\n"
    assert note_signed_by(parse_note(shelf.content[key]), ORIGIN, raw_public(public()))  # type: ignore[arg-type]
    assert_alarm(shelf, "is not a head that a key of the log")


def test_a_batch_signed_by_another_key_is_an_alarm() -> None:
    shelf, other = filled(3), filled(3)
    killed_batch(other, seed=0)
    killed_batch(shelf, seed=1)
    assert_alarm(shelf, "is not a batch that a key of the log")
    log(other).append(drafts("next"))  # the same of our own key is simply finished
    assert_whole(other.content, [0, 1, 2, "foreign", "next"])


def killed_batch(shelf: MemoryShelf, seed: int) -> None:
    """Leave a batch, and nothing of what follows from it, of a writer who has this key and believes the log."""
    shelf.after = lambda verb, key: Countdown(0)(verb, key) if verb == "put" else None
    with pytest.raises(Killed):
        Log(shelf, ORIGIN, signer(seed), now=lambda: NOON, trusted=lambda: [public(0)]).append(drafts("foreign"))
    shelf.after = lambda verb, key: None


def test_a_batch_of_before_cannot_be_replayed() -> None:
    shelf = filled(3, 2)
    shelf.content[f"log/batches/{5:020d}"] = shelf.content[f"log/batches/{3:020d}"]
    assert_alarm(shelf, "entry 5 in log/batches/.*5 does not follow")
    shelf = filled(3)
    shelf.content[f"log/batches/{3:020d}"] = b"{}"
    assert_alarm(shelf, "is not a batch")


def test_a_batch_without_an_entry_or_with_too_many_is_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = filled(3)
    shelf.content[f"log/batches/{3:020d}"] = writer.sign(b"", signer(), payload_type=writer.BATCH_TYPE)
    assert_alarm(shelf, "holds 0 entries")
    shelf = filled(3)
    killed_batch(shelf, seed=0)
    monkeypatch.setattr(writer, "MOST_ENTRIES", 0)
    assert_alarm(shelf, "holds 1 entries", lambda: log(shelf).mend())


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields | {"previous": "0" * 64},
        lambda fields: fields | {"loggedAt": "2020-01-01T00:00:00Z"},
        lambda fields: fields | {"loggedAt": "2027-01-01T00:00:00+00:00"},
        lambda fields: fields | {"loggedAt": "soon"},
        lambda fields: {name: value for name, value in fields.items() if name != "envelope"},
    ],
)
def test_a_batch_whose_entry_does_not_follow_is_an_alarm(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    shelf = filled(3)
    content = log(filled(3)).append(drafts("next")).entries[0].content
    for wrong in (
        writer.make_entry.__globals__["canonical"](change(json.loads(content))),
        content + b" ",
        b"[]",
        b"\xff",
    ):
        payload = writer.pack_entries([wrong])
        shelf.content[f"log/batches/{3:020d}"] = writer.sign(payload, signer(), payload_type=writer.BATCH_TYPE)
        assert_alarm(shelf, "entry 3 in .* does not follow")


def test_a_changed_bit_in_anything_that_the_next_append_rests_on_is_an_alarm() -> None:
    shelf = filled(250, 9, 600)
    read: set[str] = set()
    shelf.before = lambda verb, key: read.add(key) if verb == "read" else None
    log(MemoryShelf(dict(shelf.content), shelf.before)).append(drafts("next"))
    assert {key.split("/")[1] for key in read} == {"heads", "tile"}
    for key in sorted(read):
        content = shelf.content.get(key)
        if content is None:  # of the head that the append made
            continue
        for at in (0, len(content) // 2, len(content) - 1):
            broken = MemoryShelf(shelf.content | {key: content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]})
            assert_alarm(broken, ".")
        for broken in (MemoryShelf(shelf.content | {key: content[:-1]}), MemoryShelf(shelf.content | {key: b""})):
            assert_alarm(broken, ".")
        gone = MemoryShelf({name: value for name, value in shelf.content.items() if name != key})
        if "heads" not in key:
            assert_alarm(gone, "the log needs")


def test_a_changed_bit_in_any_tile_or_bundle_is_found_by_whoever_reads_it() -> None:
    shelf = filled(300, 500)
    for key, content in naive_files(assert_whole(shelf.content), [800]).items():  # what the second head needs
        for at in (0, len(content) // 3, len(content) - 1):
            broken = MemoryShelf(shelf.content | {key: content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]})
            with pytest.raises(ForkAlarm, match="does not stand for"):
                list(Reader(broken, ORIGIN, [public()]).view().entries())
    assert len(list(log(shelf).view().entries())) == 800


def test_a_proof_is_never_made_from_a_changed_tile() -> None:
    hashes = [leaf_hash(str(number).encode()) for number in range(66_000)]
    edge, tiles = Edge(0, {}).grow(hashes)
    content = {f"log/{key}": tile.content for key, tile in tiles}
    head = make_head(ORIGIN, edge.size, edge.root, signer())
    view = View(MemoryShelf(content), head)
    for old in (1, 255, 300, 65_535, 65_536, 65_800):
        root = root_of(hashes[:old])
        assert view.root_at(old) == root
        assert check_consistency(old, edge.size, root, edge.root, view.consistency(old))
    flips = (("log/tile/0/000", 8191, 200), ("log/tile/0/001", 0, 300), ("log/tile/1/000", 31, 300))
    for key, at, old in (*flips, ("log/tile/1/000", 8160, 300)):
        broken = content | {key: content[key][:at] + bytes([content[key][at] ^ 1]) + content[key][at + 1 :]}
        with pytest.raises(ForkAlarm, match=f"does not stand for the {key.removeprefix('log/')}"):
            View(MemoryShelf(broken), head).consistency(old)


def test_a_tile_that_holds_other_bytes_is_not_written_over() -> None:
    shelf = filled(3)
    shelf.content["log/tile/0/000.p/4"] = bytes(128)
    with pytest.raises(ForkAlarm, match=r"tile/0/000\.p/4 holds other bytes"):
        log(shelf).append(drafts("next"))


# --- Several keys, and what was seen before ----------------------------------------------------------------------


def test_heads_of_the_key_before_are_trusted_only_where_it_is_named() -> None:
    shelf = filled(3)
    newer = Log(shelf, ORIGIN, signer(1), now=lambda: NOON, trusted=lambda: [public(0)])
    newer.append(drafts("new key"))
    assert Reader(shelf, ORIGIN, [public(0), public(1)]).view().size == 4
    assert_alarm(shelf, "is not a head that a key of the log")  # by who knows the old key alone


def test_a_batch_of_the_key_before_is_finished_by_the_new_one() -> None:
    shelf = filled(3)
    killed_batch(shelf, seed=0)
    behind = MemoryShelf(dict(shelf.content))
    Log(shelf, ORIGIN, signer(1), now=lambda: NOON, trusted=lambda: [public(0)]).mend()
    Log(behind, ORIGIN, signer(0), now=lambda: NOON).mend()
    key = f"log/heads/{4:020d}"
    assert shelf.content.pop(key) != behind.content.pop(key)  # the same root under two signatures
    assert shelf.content == behind.content


def test_the_same_root_signed_by_two_keys_of_the_log_is_no_fork() -> None:
    shelf = filled(3)
    root = log(filled(3)).append(drafts("next")).view.head.root
    key, content = head_at(4, root, seed=1)

    def overtake(verb: str, name: str) -> None:
        if verb == "put" and "tile/0" in name:
            shelf.content.setdefault(key, content)

    shelf.after = overtake
    appended = Log(shelf, ORIGIN, signer(0), now=lambda: NOON, trusted=lambda: [public(1)]).append(drafts("next"))
    assert appended.view.head.content == content
    shelf = filled(3)
    shelf.after = overtake
    with pytest.raises(ForkAlarm, match="is not a head that a key of the log"):
        log(shelf).append(drafts("next"))


def test_a_store_that_went_back_in_time_is_an_alarm(tmp_path: Path) -> None:
    seen = tmp_path / "state" / "head"
    shelf = filled(3)
    before = dict(shelf.content)
    log(shelf, seen=seen).append(drafts("a", "b"))
    note = parse_note(seen.read_bytes())
    assert note is not None
    checkpoint = parse_checkpoint(note.text)
    assert checkpoint is not None
    assert checkpoint.size == 5
    rolled_back = MemoryShelf(before)
    assert_alarm(rolled_back, "the log needs log/heads/.*5", lambda: log(rolled_back, seen=seen).append(drafts("c")))
    log(MemoryShelf(dict(before))).append(drafts("c"))  # who has seen nothing cannot know


def test_another_history_than_the_one_seen_before_is_an_alarm(tmp_path: Path) -> None:
    seen, shelf = tmp_path / "head", filled(3)
    before = dict(shelf.content)
    log(shelf, seen=seen).append(drafts("a", "b"))
    forked = MemoryShelf(before)
    log(forked).append(drafts("x", "y"))
    assert_alarm(forked, "another history", lambda: log(forked, seen=seen).append(drafts("c")))
    log(forked).append(drafts("z"))
    assert_alarm(forked, "another history", lambda: log(forked, seen=seen).view())
    log(shelf).append(drafts("c"))
    assert log(shelf, seen=seen).view().size == 6


def test_a_writer_remembers_without_a_file_as_long_as_it_lives() -> None:
    shelf = filled(3)
    before = dict(shelf.content)
    writer = log(shelf)
    writer.append(drafts("a"))
    shelf.content = before
    assert_alarm(shelf, "the log needs log/heads/.*4", writer.view)


def test_a_remembered_head_that_is_none_is_said_so(tmp_path: Path) -> None:
    seen = tmp_path / "head"
    for content in (b"", b"garbage", make_head("example.org/other", 3, bytes(32), signer()).content):
        seen.write_bytes(content)
        with pytest.raises(EvidenceError, match="is not a head of the log") as caught:
            log(filled(3), seen=seen).view()
        assert caught.value.advice


def test_what_was_seen_never_moves_back(tmp_path: Path) -> None:
    seen, shelf = tmp_path / "head", filled(3)
    one, other = log(shelf, seen=seen), log(shelf, seen=seen)
    early = one.view()
    other.append(drafts("a"))
    newest = seen.read_bytes()
    one._seen.advance(early.head)
    assert seen.read_bytes() == newest
    assert one.view().size == 4


def test_a_writer_that_is_always_too_late_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, number = filled(1), iter(range(1, 1000))

    def overtake(verb: str, key: str) -> None:
        if verb == "put" and "batches" in key:
            shelf.before = lambda verb, key: None
            log(shelf).append(drafts(next(number)))
            shelf.before = overtake

    shelf.before = overtake
    with pytest.raises(EvidenceError, match="100 times another writer") as caught:
        log(shelf).append(drafts("late"))
    assert caught.value.advice
    shelf.before = lambda verb, key: None
    log(shelf).append(drafts("late"))
    assert_whole(shelf.content, [*range(101), "late"])
