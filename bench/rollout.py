"""A thousand deployments: rendered by Muster, deployed by stock `prefect deploy`, and beside that a file of bare ones.

The bare file has the same flows, schedules and pools, without tags, versions, descriptions and parameters of ours.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

from bench.growth import write_plans
from bench.measure import Series, ratio, run, timed
from muster.plan import Plan, load_plans
from muster.prefectfile import prefect_file
from muster.settings import Settings
from tasks.estate.estate import Estate, Part

_BARE = ("name", "entrypoint", "schedules", "work_pool")


@dataclass(frozen=True)
class Rollout:
    """Seconds for one file of deployments."""

    deployments: int
    load: Series
    """Reading and checking the plans."""
    render: Series
    ours: Series
    """`prefect deploy --all` of what Muster rendered."""
    bare: Series
    """`prefect deploy --all` of the bare file."""

    @property
    def ratio(self) -> Series:
        """Rendering and deploying ours to deploying the bare file."""
        whole = Series(tuple(a + b for a, b in zip(self.render.values, self.ours.values, strict=True)))
        return ratio(whole, self.bare)


def compare_rollouts(folder: Path, count: int, rounds: int) -> Rollout:
    """Each file is deployed `rounds` times, in turn, to one real server."""
    write_plans(folder / "plans", count)
    ours, bare = folder / "ours.yaml", folder / "bare.yaml"
    taken: dict[str, list[float]] = {"load": [], "render": [], "ours": [], "bare": []}
    with _scheduler(folder) as env:
        for _ in range(rounds):
            taken["load"].append(timed(lambda: load_plans(folder / "plans")))
            taken["render"].append(timed(partial(_render, load_plans(folder / "plans"), ours)))
            bare.write_text(yaml.safe_dump(_bare(yaml.safe_load(ours.read_text()))))
            for name, file in (("bare", bare), ("ours", ours)):
                taken[name].append(_deploy(file, env))
    return Rollout(count, **{name: Series(tuple(values)) for name, values in taken.items()})


def _render(plans: tuple[Plan, ...], path: Path) -> None:
    path.write_text(prefect_file(plans))


def _bare(content: dict[str, object]) -> dict[str, object]:
    deployments = content["deployments"]
    assert isinstance(deployments, list)
    drills = [d for d in deployments if d["entrypoint"].startswith("flows/restore")]
    return {**content, "deployments": [{"name": f"bare-{d['name']}", **{k: d[k] for k in _BARE[1:]}} for d in drills]}


def _deploy(file: Path, env: dict[str, str]) -> float:
    argv = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    return run(argv, env=env, timeout=1800).seconds


@contextlib.contextmanager
def _scheduler(folder: Path) -> Iterator[dict[str, str]]:
    """A server of our own, with no plans yet."""
    (folder / "none").mkdir()
    estate = Estate(Settings(home=folder / "home", plans=folder / "none"), (Part.SCHEDULER,))
    try:
        card = estate.start()
        assert card.scheduler
        yield {
            **{k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PREFECT_"))},
            "PREFECT_API_URL": card.scheduler.api,
            "PREFECT_HOME": str(folder / "profile"),
            "PREFECT_CLI_COLORS": "false",
            "DO_NOT_TRACK": "1",
        }
    finally:
        estate.stop()
