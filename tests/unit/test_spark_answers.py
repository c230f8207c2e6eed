"""Answers without Spark: the hash is XXH64 as Spark has it, digests see what they must, answers are whole."""

import json
import struct
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.errors import UsageError
from muster.spark import answers
from muster.spark.digest import EMPTY, Answer, Digest, combined, differences
from tasks.spark.draw import Draw, hashed
from tasks.spark.workloads.workload import open_workload

WORD = 2**64 - 1
LONG = st.integers(-(2**63), 2**63 - 1)
P1, P2, P3, P4, P5 = (
    11400714785074694791,
    14029467366897019727,
    1609587929392839161,
    9650029242287828579,
    2870177450012600261,
)

FROM_SPARK = {
    0: (-5252525462095825812, -2655039576142263734, 671628401403333903),
    1: (-7001672635703045582, 9148010362968143645, -6732589219481271398),
    -1: (3858142552250413010, 1490134651609971878, 350672637872020339),
    42: (-6876166290308861218, 5510165639429219792, 4683765323072637284),
    2**31: (-8411286333845881801, -6949026489529951679, 765722908994138690),
    -(2**31): (-432314631229701436, 7705361123005951647, -3391497556363081143),
    2**63 - 1: (-3246596055638297850, 2336220636617137183, -3712306004837474836),
    -(2**63): (-8619748838626508300, 1684995822381714157, -3699313130843244587),
    1234567890123456789: (4607975466983688430, 3519788647632277221, -8101872766366530798),
}
"""Of bigints v: `xxhash64(v)`, `xxhash64(v, 7L)`, `xxhash64(3L, v, -9L)`, as Spark 4.3.0 says."""

MATHEMATICS: Mapping[str, Mapping[str, Any]] = {
    "terasort": {},
    "shuffle-join": {"dimension": 300, "hot": 3},
    "aggregate": {"groups": 400},
    "cache": {"passes": 4},
    "stream": {},
    "commit": {"days": 5},
    "indeterminate": {},
}


def column(*numbers: int) -> answers.Longs:
    return np.array(numbers, dtype=np.int64)


def rotated(word: int, by: int) -> int:
    return (word << by | word >> (64 - by)) & WORD


def xxh64(data: bytes, seed: int) -> int:
    """XXH64 of less than 32 bytes, word by word as the specification has it."""
    assert len(data) < 32
    mixed = (seed + P5 + len(data)) & WORD
    while len(data) >= 8:
        lane = rotated(struct.unpack("<Q", data[:8])[0] * P2 & WORD, 31) * P1 & WORD
        mixed, data = (rotated(mixed ^ lane, 27) * P1 + P4) & WORD, data[8:]
    if len(data) >= 4:
        lane = struct.unpack("<I", data[:4])[0] * P1 & WORD
        mixed, data = (rotated(mixed ^ lane, 23) * P2 + P3) & WORD, data[4:]
    for byte in data:
        mixed = rotated(mixed ^ byte * P5 & WORD, 11) * P1 & WORD
    for shift, prime in ((33, P2), (29, P3), (32, 1)):
        mixed = (mixed ^ mixed >> shift) * prime & WORD
    return mixed


@pytest.mark.parametrize(
    ("data", "digest"), [(b"", 0xEF46DB3751D8E999), (b"a", 0xD24EC4F1A98C6E5B), (b"abc", 0x44BC2CF5AD770999)]
)
def test_the_model_is_the_published_hash(data: bytes, digest: int) -> None:
    assert xxh64(data, 0) == digest


@given(st.lists(LONG, min_size=1, max_size=4))
def test_a_row_is_hashed_value_by_value(row: list[int]) -> None:
    model = 42
    for value in row:
        model = xxh64(struct.pack("<q", value), model)
    assert int(answers.hash_rows(*(column(value) for value in row))[0]) & WORD == model


def test_spark_says_the_same() -> None:
    values = column(*FROM_SPARK)
    seven, three, nine = (np.full_like(values, number) for number in (7, 3, -9))
    ours = zip(
        answers.hash_rows(values).tolist(),
        answers.hash_rows(values, seven).tolist(),
        answers.hash_rows(three, values, nine).tolist(),
        strict=True,
    )
    assert dict(zip(FROM_SPARK, ours, strict=True)) == FROM_SPARK
    assert hashed(values, 7).tolist() == [second for _, second, _ in FROM_SPARK.values()]


@given(LONG, st.integers(0, 20), st.integers(1, 10**6))
def test_a_draw_is_in_its_range(seed: int, salt: int, below: int) -> None:
    drawn = Draw(seed, salt, below).of(np.arange(100, dtype=np.int64))
    assert drawn.min() >= 0
    assert drawn.max() < below


def test_draws_of_different_salts_differ() -> None:
    ids = np.arange(1000, dtype=np.int64)
    first, second = Draw(1, 1, 10).of(ids), Draw(1, 2, 10).of(ids)
    assert 50 < int((first == second).sum()) < 150


@given(st.lists(LONG, max_size=40))
def test_a_digest_counts_sums_and_combines(hashes: list[int]) -> None:
    xor = 0
    for each in hashes:
        xor ^= each
    assert answers.digest_of(column(*hashes)) == Digest.of(len(hashes), xor, sum(hashes))


@given(st.lists(LONG, max_size=40), st.randoms(use_true_random=False), st.integers(0, 40))
def test_neither_order_nor_partition_matters(hashes: list[int], random: Any, cut: int) -> None:
    shuffled = random.sample(hashes, len(hashes))
    halves = (column(*shuffled[:cut]), column(*shuffled[cut:]))
    assert combined(map(answers.digest_of, halves)) == answers.digest_of(column(*hashes))


@given(st.lists(LONG, min_size=1, max_size=40), st.data())
def test_a_lost_a_doubled_and_a_changed_row_are_seen(hashes: list[int], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(hashes) - 1))
    other = data.draw(LONG.filter(lambda value: value != hashes[at]))
    whole = Answer(whole=answers.digest_of(column(*hashes)))
    for worse in (
        hashes[:at] + hashes[at + 1 :],
        [*hashes, hashes[at]],
        [*hashes[:at], other, *hashes[at + 1 :]],
    ):
        assert differences(whole, Answer(whole=answers.digest_of(column(*worse))))


@given(st.lists(LONG, min_size=2, max_size=40, unique=True), st.data())
def test_one_row_lost_and_another_doubled_are_seen(hashes: list[int], data: st.DataObject) -> None:
    lost, doubled = data.draw(st.lists(st.sampled_from(hashes), min_size=2, max_size=2, unique=True))
    worse = [h for h in hashes if h != lost] + [doubled]
    assert answers.digest_of(column(*worse)) != answers.digest_of(column(*hashes))


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(LONG, max_size=10), min_size=1), st.data())
def test_parts_add_up_and_tell_where(parts: dict[str, list[int]], data: st.DataObject) -> None:
    digests = {name: answers.digest_of(column(*hashes)) for name, hashes in parts.items()}
    whole = answers.whole_of(digests)
    assert whole.adds_up
    assert whole.whole == answers.digest_of(column(*(h for hashes in parts.values() for h in hashes)))
    name = data.draw(st.sampled_from(sorted(parts)))
    worse = answers.whole_of({**digests, name: answers.digest_of(column(*parts[name], 1))})
    told = differences(whole, worse)
    assert len(told) == 1
    assert told[0].startswith(f"{name}: {len(parts[name]) + 1} rows, not {len(parts[name])} (+1)")
    assert not whole.model_copy(update={"whole": worse.whole}).adds_up


def test_a_part_that_is_gone_is_told() -> None:
    digest = answers.digest_of(column(1, 2))
    both, one = answers.whole_of({"a": digest, "b": digest}), answers.whole_of({"a": digest})
    assert differences(both, one) == ("b: 0 rows, not 2 (-2)",)
    assert combined([]) == EMPTY


@pytest.mark.parametrize("name", MATHEMATICS)
def test_an_answer_does_not_depend_on_how_much_is_in_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    workload = open_workload({"type": name, "rows": 5_000, **MATHEMATICS[name]})
    whole = workload.answer()
    monkeypatch.setattr(answers, "CHUNK", 999)
    again = workload.answer()
    assert whole is not None
    assert whole == again
    assert whole.adds_up
    assert len(whole.parts) > 1
    assert workload.basis == "mathematics"


@pytest.mark.parametrize("name", sorted({*MATHEMATICS, "sql"} - {"indeterminate", "stream"}))
def test_a_question_has_every_key(name: str) -> None:
    """Else laps of different jobs would count as comparable."""
    workload = open_workload({"type": name, **MATHEMATICS.get(name, {})})
    assert set(workload.question.keys) == set(type(workload).model_fields) - {"type"}


@pytest.mark.parametrize("name", sorted(set(MATHEMATICS) - {"indeterminate", "stream"}))
def test_another_seed_is_another_answer(name: str) -> None:
    """Indeterminate jobs and streams are judged by ids alone."""
    answer = {seed: open_workload({"type": name, "rows": 5_000, "seed": seed}).answer() for seed in (1, 2)}
    assert answer[1] != answer[2]


def test_how_many_rows_an_answer_has() -> None:
    def rows(**keys: Any) -> int:
        answer = open_workload({"rows": 5_000, **keys}).answer()
        assert answer is not None
        return answer.whole.rows

    assert rows(type="terasort") == rows(type="cache") == rows(type="stream") == rows(type="indeterminate") == 5_000
    assert rows(type="aggregate", groups=10) == 10
    assert rows(type="commit", days=4) == 5_000 + 1_250 // 5
    # Six of seven keys are in the dimension, and the hot half all are.
    assert 5_000 * 0.9 < rows(type="shuffle-join") < 5_000 * 0.96


REFUSED = {
    "tpyo": {"type": "cache", "tpyo": 1},
    "passes": {"type": "cache", "passes": 1},
    "storage": {"type": "cache", "storage": "SOMEWHERE"},
    "rows must be at least days": {"type": "commit", "rows": 3, "days": 4},
    "committer": {"type": "commit", "committer": "v3"},
    "hot": {"type": "shuffle-join", "hot": 7},
    "tolerance": {"type": "indeterminate", "tolerance": 0},
    "seed": {"type": "terasort", "seed": 2**63},
    "entry_point": {"type": "user", "entry_point": "no_function"},
    "rows": {"type": "user", "entry_point": "a:b", "rows": 5},
    "needs an invariant": {"type": "user", "entry_point": "a:b", "deterministic": False},
    "no workload of type 'nothing'": {"type": "nothing"},
}


@pytest.mark.parametrize("told", REFUSED)
def test_keys_that_cannot_be_are_named(told: str) -> None:
    with pytest.raises(UsageError, match=told):
        open_workload(REFUSED[told])


def test_a_job_of_a_team_is_compared_with_itself_or_by_its_rule() -> None:
    keys = {"type": "user", "entry_point": "shop.jobs:totals", "invariant": "shop.jobs:holds"}
    assert open_workload(keys).basis == "baseline"
    assert open_workload({**keys, "deterministic": False}).basis == "invariant"
    assert open_workload(keys).answer() is None


def test_whether_a_job_goes_on_after_its_driver_changes_no_answer() -> None:
    """A baseline of before is one of now."""
    keys = {"type": "user", "entry_point": "shop.jobs:totals"}
    assert open_workload({**keys, "goes_on": True}).question == open_workload(keys).question
    assert "goes_on" not in open_workload(keys).question.keys
    assert "part" in open_workload(keys).question.keys


def test_workloads_open_and_answer_without_spark() -> None:
    """The drill's process never imports it."""
    keys = [{"type": name, "rows": 1_000, **more} for name, more in {**MATHEMATICS, "sql": {}}.items()]
    keys.append({"type": "user", "entry_point": "a:b"})
    program = (
        "import json, sys\n"
        "from tasks.spark.workloads.workload import open_workload\n"
        f"for keys in json.loads({json.dumps(keys)!r}):\n"
        "    workload = open_workload(keys)\n"
        "    workload.answer(), workload.question\n"
        "sys.exit('pyspark' in sys.modules or 'py4j' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
