"""From a crontab to Prefect, as docs/cutover.md leads a team: a real cron daemon, a real Prefect server and worker.

The plan and the crontab are those of the page, but for addresses, times and what the jobs do. Cron's shortest interval
is a minute, so a rehearsal sees few ticks: each side has the schedules for a minute and a bit.
"""

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from muster.cutover.observations import Reckoned
from muster.cutover.ownership import Side
from muster.cutover.schedule import Cut, Tick
from muster.journal import History
from muster.ledger import Ledger, open_ledger
from muster.summary import Summary
from muster.verdict import ExitCode, Outcome, Verdict
from tasks.estate.bluegreen import GREEN, BlueGreen
from tasks.process import AT_ONCE, Processes
from tasks.schedulers.prefect import PrefectScheduler, Spec
from tests.real.conftest import MUSTER
from tests.real.cron_daemon import Daemon, cron_daemon

pytestmark = [pytest.mark.xdist_group("cutover"), pytest.mark.timeout(600)]
PAGE = Path("docs/cutover.md")
JOBS = ("orders", "stock")
WORK = """\
#!/bin/sh
[ -z "$MUSTER_TICK" ] || echo "$1 $MUSTER_TICK $MUSTER_HOLDER" >> {}
"""
_QUICK = {"shared_buffers": "32MB", "synchronous_commit": "off"}


def blocks(language: str = "") -> list[str]:
    """The page's code blocks."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [text for said, text in found if said == language]


@dataclass(frozen=True)
class Shop:
    """A machine with a crontab, and Prefect beside it."""

    daemon: Daemon
    root: Path
    api: str

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.root / 'ledger.sqlite'}"

    @property
    def prefect(self) -> PrefectScheduler:
        return PrefectScheduler(Spec(api=self.api))

    def lines(self, paragraph: str) -> str:
        """The page's line for each job, every minute, and a line that is none of the cutover's business."""
        head, mark, note = paragraph.partition("# muster:")
        lines = re.sub("postgresql.*", self.ledger_url, head)
        for name in JOBS:
            line = note.replace("*/10 ", "* ").replace("orders", name)
            line = line.replace(f"/opt/shop/{name}.sh", f"{self.root / 'work'} {name}")
            lines += mark + line.replace("/opt/muster/.venv/bin/muster", str(MUSTER))
        return lines + "30 4 1 1 * true\n"

    def install(self, paragraph: str) -> str:
        """Make it root's crontab. Returns the table as `crontab` gives it back."""
        (self.root / "new").write_text(self.lines(paragraph))
        self.call("crontab", str(self.root / "new"))
        return self.table()

    def table(self) -> str:
        return self.call("crontab", "-l")

    def call(self, *argv: str, code: int = 0) -> str:
        """Run a program where the crontab is."""
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PREFECT_"))},
            "MUSTER_HOME": str(self.root / "home"),
            "MUSTER_PLANS": str(self.root / "plans"),
            "MUSTER_STORE": str(self.root / "store"),
            "MUSTER_LEDGER": self.ledger_url,
        }
        ran = self.daemon.run('cd "$1"; shift; exec "$@"', str(Path.cwd()), *argv, environment=environment)
        said, _ = ran.communicate(timeout=400)
        assert ran.returncode == code, (argv, ran.returncode, said)
        return said

    def muster(self, *arguments: str, code: int = 0) -> str:
        return self.call(str(MUSTER), *arguments, code=code)

    def worked(self) -> list[tuple[Tick, str]]:
        """What jobs did: of which tick, started by whom."""
        rows = [line.split() for line in (self.root / "worked").read_text().splitlines()]
        return [(Tick(name, datetime.fromisoformat(at).astimezone(UTC)), holder) for name, at, holder in rows]


@contextmanager
def server(root: Path) -> Iterator[str]:
    """A Prefect server with a process worker for the pool `shop`, as `prefect` itself makes them. Yields its API."""
    processes = Processes(root / "processes", root / "logs")
    pair = BlueGreen(root / "servers", root / "s", processes, f"sqlite:///{root / 'unused'}")
    try:
        pair.database(GREEN).start(_QUICK)
        api = pair.start_server(GREEN)
        prefect = [sys.executable, "-m", "prefect"]
        env = {
            "PREFECT_API_URL": api,
            "PREFECT_HOME": str(root / "worker"),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "DO_NOT_TRACK": "1",
            "PATH": os.environ["PATH"],
        }
        processes.run(
            [*prefect, "work-pool", "create", "shop", "--type", "process"], log="pool.log", timeout=120, env=env
        )
        processes.start("worker", [*prefect, "worker", "start", "--pool", "shop"], log="worker.log", env=env)
        yield api
    finally:
        processes.stop_all(signals=AT_ONCE)
        processes.close()


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    root = Path(tempfile.mkdtemp(prefix="mshop", dir="/tmp"))
    root.chmod(0o755)
    try:
        with cron_daemon() as daemon, server(root) as api:
            (root / "plans").mkdir()
            (root / "worked").touch()
            (root / "work").write_text(WORK.format(root / "worked"))
            (root / "work").chmod(0o755)
            (text,) = [block for block in blocks("yaml") if "name: cutover-shop" in block]
            plan = yaml.safe_load(text)
            plan["target"]["b"]["api"] = api
            # An interval that is longer than a minute has one of cron's due times in it.
            plan["cutover"] |= {"steady": "50s", "watch": "60s"}
            (root / "plans/cutover-shop.yaml").write_text(yaml.safe_dump(plan))
            daemon.start(level=1)
            yield Shop(daemon, root, api)
    finally:
        shutil.rmtree(root)


def history(ledger: Ledger) -> History:
    return History(ledger.read_events(ledger.runs("cutover-shop")[0].run))


def test_a_crontab_goes_to_prefect_and_home_as_the_page_says(shop: Shop) -> None:
    first, guarded = (block for block in blocks() if block.lstrip().startswith(("# muster:", "MUSTER_")))

    # 1. Name the jobs, and look.
    bare = shop.install(first)
    foreseen = json.loads(shop.muster("run", "cutover-shop", "--shadow-only", "--json", code=ExitCode.FAIL))
    assert (len(foreseen["schedules"]), foreseen["shadow"]["different"]) == (2, 0)
    (left,) = foreseen["refused"]
    assert "no job of the cut has claimed a tick" in left, "that is the page's next step, and nothing else is left"
    refused = shop.muster("run", "cutover-shop", "--here", "--reason", "a test", code=ExitCode.REFUSED)
    assert "no job of the cut has claimed a tick" in refused
    assert shop.table() == bare
    assert shop.prefect.inventory(Cut()).schedules == ()

    # 2. Guard them. Until one has claimed nobody knows as whom they do.
    table = shop.install(guarded)
    line = next(line for line in table.splitlines() if " tick orders " in line).partition("/")[2]
    by_hand = f"MUSTER_HOLDER=cron MUSTER_LEDGER={shop.ledger_url} /{line}"
    shop.daemon.run('exec sh -c "$1"', by_hand).wait(60)
    assert "0 differ" in shop.muster("run", "cutover-shop", "--shadow-only")
    assert shop.table() == table

    # 3. Rehearse.
    summary = Summary.model_validate_json(shop.muster("run", "cutover-shop", "--here", "--reason", "a test", "--json"))
    assert {f.check: f.seen for f in summary.findings if f.verdict not in {Verdict.PASS, None}} == {}
    assert (summary.outcome, summary.verdict) == (Outcome.PASSED, Verdict.PASS)
    with open_ledger(shop.ledger_url) as ledger:
        book = history(ledger).result("account", Reckoned)
        assert book is not None
        claims = ledger.claims_between(JOBS, book.began, book.ended)
    seen = {f.check: f.seen for f in summary.findings}
    assert f"{book.expected} ticks: {book.phases['a']} while a, {book.phases['b']} while b" in seen["observed"]
    assert seen["in flight"].endswith("a keeps no history: of its runs nothing is said")
    assert book.expected == book.claims == sum(book.by_side.values()) >= 6
    assert all(book.by_side[side] >= len(JOBS) for side in Side)

    # Every due time was worked once, by whoever had it; no more, and no less.
    worked = {tick: holder for tick, holder in shop.worked() if book.began < tick.at <= book.ended}
    assert len(shop.worked()) == len({tick for tick, _ in shop.worked()})
    assert worked == {Tick(claim.schedule, claim.at): claim.holder for claim in claims}
    assert set(worked.values()) == {"cron", "prefect"}
    assert shop.table() == table
    assert shop.prefect.inventory(Cut()).schedules == ()
