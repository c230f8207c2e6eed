"""Slots claimed by many workers at once: how many a second, beside bare inserts under the same key, and none twice."""

import json
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg

from bench.measure import Series, ratio
from evidence.slots import slot_key
from muster.ledger import Ledger, NewRun, Trigger, open_ledger
from muster.ledger.errors import SlotTaken
from muster.ownership import this_process

WORKERS = 50
_PROCESSES = 5
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Claims:
    """Slots that 50 workers fought for, each for every one."""

    database: str
    slots: int
    doubled: int
    lost: int
    attempts_per_second: Series
    bare_per_second: Series
    """`INSERT ... ON CONFLICT DO NOTHING` of the same keys by as many workers: no lease, no standing, no clock."""

    @property
    def ratio(self) -> Series:
        """Claims to bare inserts."""
        return ratio(self.attempts_per_second, self.bare_per_second)


def compare_claims(url: str, database: str, slots: int, rounds: int) -> Claims:
    """Let every worker try every slot, `rounds` times, in turn with bare inserts."""
    claimed, bare, doubled, lost = [], [], 0, 0
    with open_ledger(url) as ledger, ledger.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE bare (slot text PRIMARY KEY, run text)")
    for number in range(rounds):
        wins, seconds = _fight("ledger", url, f"claims-{number}", slots)
        doubled += sum(count - 1 for count in wins.values())
        lost += slots - len(wins)
        claimed.append(WORKERS * slots / seconds)
        _, seconds = _fight("bare", url, f"bare-{number}", slots)
        bare.append(WORKERS * slots / seconds)
    return Claims(database, slots, doubled, lost, Series(tuple(claimed)), Series(tuple(bare)))


def _fight(how: str, url: str, plan: str, slots: int) -> tuple[Counter[int], float]:
    """Five processes of ten workers each; they begin together."""
    begin = time.time() + 3
    argv = [sys.executable, "-m", "bench.claims", how, url, plan, str(slots), str(begin)]
    workers = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(_PROCESSES)]
    said = [json.loads(worker.communicate(timeout=600)[0]) for worker in workers]
    wins = Counter(slot for answer in said for slot in answer["won"])
    return wins, max(answer["ended"] for answer in said) - begin


def work(how: str, url: str, plan: str, slots: int, begin: float) -> dict[str, object]:
    """One process's share; says what it won and when it ended."""
    each = WORKERS // _PROCESSES
    with open_ledger(url, patience=120) as ledger:
        ledger.now()
        claim = _claims(ledger, plan) if how == "ledger" else None
        time.sleep(max(0.0, begin - time.time()))  # all begin together, or they would not contend
        with ThreadPoolExecutor(each) as pool:
            rounds = [pool.submit(_try_all, claim or _bare(url, plan), slots) for _ in range(each)]
            won = [slot for done in rounds for slot in done.result()]
    return {"won": won, "ended": time.time()}


def _try_all(claim: Callable[[int], bool], slots: int) -> list[int]:
    return [slot for slot in range(slots) if claim(slot)]


def _claims(ledger: Ledger, plan: str) -> Callable[[int], bool]:
    def claim(slot: int) -> bool:
        new = NewRun(
            run=uuid4().hex,
            plan=plan,
            plan_digest="d" * 64,
            kind="restore",
            target_type="embedded",
            scheduled_at=_FIRST + timedelta(hours=slot),
            trigger=Trigger.SCHEDULE,
            owner=this_process(),
            lease_seconds=60,
        )
        try:
            ledger.open_run(new)
        except SlotTaken:
            return False
        return True

    return claim


def _bare(url: str, plan: str) -> Callable[[int], bool]:
    """A connection of its own for each worker."""
    if url.startswith("sqlite"):
        return _bare_sqlite(url.removeprefix("sqlite:///"), plan)
    connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)

    def claim(slot: int) -> bool:
        insert = "INSERT INTO bare VALUES (%s, %s) ON CONFLICT DO NOTHING"
        key = slot_key(plan, _FIRST + timedelta(hours=slot))
        return connection.execute(insert, (key, uuid4().hex)).rowcount == 1

    return claim


def _bare_sqlite(path: str, plan: str) -> Callable[[int], bool]:
    def claim(slot: int) -> bool:
        key = slot_key(plan, _FIRST + timedelta(hours=slot))
        with closing(sqlite3.connect(path, timeout=120, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            insert = "INSERT INTO bare VALUES (?, ?) ON CONFLICT DO NOTHING"
            return connection.execute(insert, (key, uuid4().hex)).rowcount == 1

    return claim


if __name__ == "__main__":
    how, url, plan, slots, begin = sys.argv[1:]
    print(json.dumps(work(how, url, plan, int(slots), float(begin))))
    sys.stdout.flush()
