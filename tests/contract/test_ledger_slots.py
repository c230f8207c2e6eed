"""One slot has one run, whoever contends for it, and from wherever."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from evidence.slots import slot_key
from muster.errors import Refusal
from muster.ledger import Ledger, SlotTaken, open_ledger
from muster.verdict import Outcome
from tests.contract.ledgers import AT, new_run

DAY = timedelta(days=1)


def test_a_taken_slot_names_its_holder_and_leaves_nothing(ledger: Ledger) -> None:
    held = ledger.open_run(new_run(scheduled_at=AT))
    before = ledger.standings()
    late = new_run(scheduled_at=AT)
    with pytest.raises(SlotTaken) as caught:
        ledger.open_run(late)
    assert caught.value.holder == held.run
    assert isinstance(caught.value, Refusal)
    assert caught.value.advice
    assert ledger.runs() == (held,)
    assert ledger.standings() == before
    ledger.close_run(held.run, Outcome.MISSED)
    with pytest.raises(SlotTaken):
        ledger.open_run(late)
    assert ledger.open_run(new_run("bank", scheduled_at=AT)).slot != held.slot


def test_a_slot_is_a_moment_whatever_zone_it_is_told_in(ledger: Ledger) -> None:
    held = ledger.open_run(new_run(scheduled_at=AT))
    zone = datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo
    assert held.slot == slot_key("shop", AT.astimezone(zone))
    with pytest.raises(SlotTaken):
        ledger.open_run(new_run(scheduled_at=AT.astimezone(zone)))


def test_slots_taken_are_those_after_one_moment_up_to_another(ledger: Ledger) -> None:
    for days in range(5):
        run = ledger.open_run(new_run(scheduled_at=AT + days * DAY)).run
        if days % 2:
            ledger.close_run(run, Outcome.WAIVED)
    ledger.open_run(new_run("bank", scheduled_at=AT + 1.5 * DAY))
    assert ledger.slots_taken("shop", AT + DAY, AT + 3 * DAY) == {AT + 2 * DAY, AT + 3 * DAY}
    assert ledger.slots_taken("shop", AT + 4 * DAY, AT + 9 * DAY) == frozenset()
    assert ledger.slots_taken("nobody", AT - DAY, AT + 9 * DAY) == frozenset()


def test_of_threads_that_contend_for_a_slot_one_wins(url: str, ledger: Ledger) -> None:
    ledger.open_run(new_run(scheduled_at=AT - DAY))
    contenders, slots = 8, 6

    def contend(_number: int) -> list[str]:
        with open_ledger(url) as mine:
            return [_claim(mine, slot) for slot in range(slots)]

    with ThreadPoolExecutor(contenders) as pool:
        told = list(pool.map(contend, range(contenders)))
    held = {run.scheduled_at: run.run for run in ledger.runs("shop")}
    for slot, answers in enumerate(zip(*told, strict=True)):
        holder = held[AT + slot * DAY]
        assert sorted(answers) == sorted([f"won {holder}"] + [f"lost to {holder}"] * (contenders - 1))
    assert len(held) == slots + 1


def _claim(ledger: Ledger, slot: int) -> str:
    new = new_run(scheduled_at=AT + slot * DAY)
    try:
        return f"won {ledger.open_run(new).run}"
    except SlotTaken as taken:
        return f"lost to {taken.holder}"


_CONTENDER = """
import sys
from muster.ledger import SlotTaken, open_ledger
from muster.ledger.rows import NewRun
with open_ledger(sys.argv[1]) as ledger:
    print("ready", flush=True)
    for line in sys.stdin:
        new = NewRun.model_validate_json(line)
        try:
            print("won", ledger.open_run(new).run, flush=True)
        except SlotTaken as taken:
            print("lost to", taken.holder, flush=True)
"""


def test_of_processes_that_contend_for_a_slot_one_wins(url: str, ledger: Ledger) -> None:
    program = [sys.executable, "-c", _CONTENDER, url]
    contenders = [subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        for contender in contenders:
            assert contender.stdout
            assert contender.stdout.readline() == "ready\n"
        wishes = [
            "".join(new_run(scheduled_at=AT + slot * DAY).model_dump_json() + "\n" for slot in range(20))
            for _ in contenders
        ]
        with ThreadPoolExecutor(len(contenders)) as pool:
            told = list(pool.map(lambda one, wish: one.communicate(wish, timeout=60)[0], contenders, wishes))
    finally:
        for contender in contenders:
            contender.kill()
            contender.wait(timeout=30)
    held = {run.scheduled_at: run.run for run in ledger.runs("shop")}
    assert len(held) == 20
    for slot, answers in enumerate(zip(*(answer.splitlines() for answer in told), strict=True)):
        holder = held[AT + slot * DAY]
        assert sorted(answers) == sorted([f"won {holder}", f"lost to {holder}", f"lost to {holder}"])
