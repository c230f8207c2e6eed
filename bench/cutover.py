"""`python -m bench.cutover`: hundreds of deployments from server to server, beside `prefect transfer` of the same set.

Promises: both move the same deployments between the same two real servers (PostgreSQL databases, no workers), in one
run; the cutover is the product's own drill, with nothing left out but the watching; it works below one folder and
deletes all of it.
"""

import argparse
import os
import shutil
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench.measure import Series, ratio, run, timed
from bench.results import keep, machine, new_table, show
from flows.cutover import DRILL
from flows.registry import open_target
from muster.cutover.measuring import gap_of
from muster.cutover.schedule import CronRule, Job, Schedule
from muster.drill import Drill
from muster.journal import History
from muster.ledger import open_ledger
from muster.plan import Plan
from muster.prove import Scene, run_trial
from muster.verdict import Outcome
from tasks.estate.bluegreen import BLUE, ENTRYPOINT, GREEN, POOL_TYPE, BlueGreen
from tasks.process import AT_ONCE, Processes
from tasks.schedulers import prefect_forms as forms
from tasks.schedulers.prefect_api import Address, Api

SIZES = (200, 1_000)
QUICK = (50,)
ALLOWED, ALLOWED_GAP = 1.5, 5.0
"""Times as long as `prefect transfer` for each deployment that arrived; seconds with nobody at work. A transfer reads
one page of deployments and no more: of a thousand it moves two hundred."""
_POOL = "bench"


@dataclass(frozen=True)
class Moved:
    """One size: seconds of both, deployments that each of them moved, the gap, and the steps."""

    deployments: int
    transfer: Series
    transferred: int
    cutover: Series
    handed_over: int
    gap: float
    steps: dict[str, float]

    @property
    def each(self) -> tuple[Series, Series]:
        """Milliseconds for each deployment that arrived: by transfer, by cutover."""
        return _each(self.transfer, self.transferred), _each(self.cutover, self.handed_over)


def _each(series: Series, arrived: int) -> Series:
    return Series(tuple(1000 * seconds / max(1, arrived) for seconds in series.values))


def make(server: Api, count: int) -> None:
    """So many deployments, each due once a day, some hours from now: there is nobody to run them."""
    server.post("work_pools/", {"name": _POOL, "type": POOL_TYPE})
    server.post(f"work_pools/{_POOL}/queues", {"name": _POOL})  # `prefect transfer` moves nothing out of a pool's own
    flow = server.post("flows/", {"name": "bench"})["id"]

    def one(number: int) -> None:
        own = {"entrypoint": ENTRYPOINT, "path": ".", "work_pool_name": _POOL, "work_queue_name": _POOL,
               "enforce_parameter_schema": False}  # fmt: skip
        job = Job(name=f"bench/job-{number:05d}", tags=("bench",), own=own)
        hour = (datetime.now(UTC).hour + 8 + number % 6) % 24
        rule = CronRule(expression=f"{number % 60} {hour} * * *", timezone="Europe/Berlin")
        made = server.post("deployments/", forms.created(job, [Schedule(name=job.name, job=job.name, rule=rule)], flow))
        server.post(f"deployments/{made['id']}/resume_deployment", {})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(count)))


def empty(server: Api) -> None:
    """No deployment and no pool of ours."""
    rows = list(server.pages("deployments/filter", {"sort": "NAME_ASC"}))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda row: server.delete(f"deployments/{row['id']}"), rows))
    server.delete(f"work_pools/{_POOL}")


def transfer(folder: Path, apis: dict[str, str]) -> tuple[float, int]:
    """Stock `prefect transfer`; seconds, and the deployments that arrived."""
    home = folder / "profiles"
    home.mkdir(exist_ok=True)
    profiles = "".join(f'[profiles.{name}]\nPREFECT_API_URL = "{api}"\n' for name, api in apis.items())
    (home / "profiles.toml").write_text(f'active = "{BLUE}"\n{profiles}', encoding="utf-8")
    env = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    argv = [sys.executable, "-m", "prefect", "--no-prompt", "transfer", "--from", BLUE, "--to", GREEN]
    done = run(argv, env=env, timeout=1800, ends=(0, 1))
    there = Api(Address(api=apis[GREEN])).post("deployments/count", {})
    return done.seconds, int(there)


def cut_over(folder: Path, apis: dict[str, str], ledger: str) -> tuple[float, int, float, dict[str, float]]:
    """The drill; seconds, deployments that arrived, the gap, and seconds of each step."""
    plan = Plan.model_validate(
        {
            "name": "bench-cutover", "kind": "cutover", "environment": "test", "owner": "bench",
            "target": {
                "type": "schedulers", "claims": ledger,
                "a": {"type": "prefect", "holder": BLUE, "api": apis[BLUE], "patience": "2m"},
                "b": {"type": "prefect", "holder": GREEN, "api": apis[GREEN], "patience": "2m"},
            },
            "objectives": {"rto": "5s"},
            "cutover": {
                "commit": True, "steady": "0s", "watch": "1s", "quiet": "1s", "late": "1s", "cut": {"tags": ["bench"]},
            },
        }
    )  # fmt: skip
    seen: list[History] = []
    kept = Drill(
        **{**{f: getattr(DRILL, f) for f in DRILL.__dataclass_fields__}, "checks": (_keeping(seen), *DRILL.checks)}
    )
    stopping = threading.Event()
    scene = Scene(plan=plan, workspace=folder / "run")
    trials = []
    seconds = timed(lambda: trials.append(run_trial(kept, scene, open_target, stopping)))
    failed = [f for f in trials[0].findings if f.verdict == "fail"]
    if trials[0].outcome is Outcome.ABORTED or failed:
        raise AssertionError(f"the cutover {trials[0].outcome}: {failed or trials[0].ending}")
    there = Api(Address(api=apis[GREEN])).post("deployments/count", {"deployments": {"tags": {"all_": ["bench"]}}})
    return seconds, int(there), gap_of(seen[0]) or 0.0, _steps(seen[0])


def _keeping(seen: list[History]):  # type: ignore[no-untyped-def]
    def check(history: History, _plan: Plan) -> tuple[()]:
        seen.append(history)
        return ()

    return check


def _steps(history: History) -> dict[str, float]:
    began: dict[str, int] = {}
    took: dict[str, float] = {}
    ends = {"succeeded": "started", "undone": "undo_started"}
    for event in history:
        if event.kind in ends.values():
            began[event.step] = event.mono_ns
        elif event.kind in ends:
            name = event.step if event.kind == "succeeded" else f"undo of {event.step}"
            took[name] = round((event.mono_ns - began[event.step]) / 1e9, 3)
    return took


def measure(folder: Path, count: int) -> Moved:
    """Transfer first, onto an empty server; then the cutover, onto an empty server."""
    folder.mkdir(parents=True)
    processes = Processes(folder / "processes", folder / "logs")
    ledger = f"sqlite:///{folder / 'ledger.sqlite'}"
    sockets = Path(tempfile.mkdtemp(prefix="muster-"))
    with open_ledger(ledger):
        pass
    try:
        apis = BlueGreen(folder / "servers", sockets, processes, ledger).start((), ())
        make(Api(Address(api=apis[BLUE])), count)
        seconds, arrived = transfer(folder, apis)
        empty(Api(Address(api=apis[GREEN], patience="2m")))
        took, handed_over, gap, steps = cut_over(folder, apis, ledger)
    finally:
        processes.stop_all(signals=AT_ONCE)
        processes.close()
        shutil.rmtree(sockets, ignore_errors=True)
    return Moved(count, Series((seconds,)), arrived, Series((took,)), handed_over, gap, steps)


def main(arguments: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.cutover", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small set: does it work?")
    parser.add_argument("--size", type=int, action="append", help="deployments, in place of the usual sizes")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the data goes")
    options = parser.parse_args(arguments)
    console, began, found = Console(), datetime.now(UTC), []
    console.print(machine())
    with tempfile.TemporaryDirectory(prefix="muster-bench-", dir=options.dir) as folder:
        for count in options.size or (QUICK if options.quick else SIZES):
            found.append(measure(Path(folder) / str(count), count))
    table = new_table(
        f"A cutover beside `prefect transfer`, seconds ({ALLOWED:g} times for each; {ALLOWED_GAP:g} with no owner)",
        "deployments", "transfer", "it moved", "cutover", "it moved", "each / each", "no owner", "most of it",
    )  # fmt: skip
    for each in found:
        most = ", ".join(f"{n} {s:.1f}" for n, s in sorted(each.steps.items(), key=lambda step: -step[1])[:4])
        table.add_row(
            f"{each.deployments:,}", str(each.transfer), str(each.transferred), str(each.cutover),
            str(each.handed_over), str(ratio(*reversed(each.each))), f"{each.gap:.3f}", most,
        )  # fmt: skip
    show((table,), console)
    written = keep(f"cutover-{began:%Y%m%dT%H%M%SZ}", began, (table,), [asdict(each) for each in found])
    console.print(f"Kept in {written}, and beside it as JSON.")
    return 0 if all(_is_met(each) for each in found) else 1


def _is_met(moved: Moved) -> bool:
    """Whether it is as fast as was asked, and the set arrived."""
    times = ratio(*reversed(moved.each)).median
    return moved.gap <= ALLOWED_GAP and moved.handed_over == moved.deployments and times <= ALLOWED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
