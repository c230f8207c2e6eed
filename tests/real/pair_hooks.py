"""What the owner of two servers would give as hooks: `python -m tests.real.pair_hooks VERB HOME`, over a real pair.

A verb acts on `MUSTER_NODE`, and says in its last line what it did.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from muster.errors import MusterError
from tasks.link.link import Condition
from tasks.process import Processes
from tasks.regions.pair import Pair
from tasks.regions.salvage import Shelf, salvage

NODE, OLD, NEW = (os.environ.get(f"MUSTER_{name}", "") for name in ("NODE", "OLD", "NEW"))


def stop(pair: Pair) -> str:
    pair.server(NODE).stop("fast", timeout=60)
    return f"{NODE} is shut down"


def rejoin(pair: Pair) -> str:
    done = pair.rejoin(NODE, NEW)
    return f"{done.how}: {done.why}"


def save(pair: Pair) -> str:
    keep = Path(os.environ["MUSTER_KEEP"])
    with tempfile.TemporaryDirectory() as folder:
        tools = Processes(Path(folder) / "records", Path(folder) / "logs")
        done = salvage(pair.server(OLD), pair.server(NEW), Shelf(Path(folder), keep), tools, 60)
        shutil.copy(Path(folder) / done.listed, os.environ["MUSTER_LISTED"])
    assert os.environ["MUSTER_FORK"] == done.fork_lsn
    return str(done.commits)


def slow(pair: Pair) -> str:
    rtt, loss = float(os.environ["MUSTER_RTT_MS"]) / 1000, float(os.environ["MUSTER_LOSS"])
    pair.link.set(Condition(rtt, loss))
    return f"{rtt:g} s"


VERBS: dict[str, Callable[[Pair], object]] = {
    "fence": lambda pair: pair.fence(NODE),
    "rejoin": rejoin,
    "stop": stop,
    "revive": lambda pair: pair.revive(NODE),
    "salvage": save,
    "kill": lambda pair: pair.kill(NODE),
    "freeze": lambda pair: pair.freeze(NODE),
    "thaw": lambda pair: pair.thaw(NODE),
    "cut": lambda pair: pair.link.cut(),
    "heal": lambda pair: pair.link.set(Condition()),
    "slow": slow,
    "fill": lambda pair: pair.fill_disk(NODE),
    "free": lambda pair: pair.free_disk(NODE),
    "switchover": lambda pair: pair.switch(OLD, NEW).how,
    "promote": lambda pair: pair.promote(NODE).how,
}


def main() -> None:
    verb, home = sys.argv[1:]
    pair = Pair.open(Path(home))
    if pair is None:
        sys.exit(f"no pair runs in {home}")
    try:
        print(VERBS[verb](pair))
    except MusterError as error:
        sys.exit(str(error))


def hooks(home: Path, *verbs: str) -> dict[str, list[str]]:
    """These hooks, as a plan names them."""
    return {verb: [sys.executable, "-m", "tests.real.pair_hooks", verb, str(home)] for verb in verbs}


if __name__ == "__main__":
    main()
