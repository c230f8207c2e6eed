"""The stage of one cutover form: canaries of its own in a pool of its own, and the plan that hands them over."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from muster.drill import Drill
from muster.plan import Plan
from muster.prove import Scene
from tasks.estate.bluegreen import BLUE, GREEN
from tasks.faults.cutover_base import Base, start_canaries

Plant = Callable[[Base, Path], AbstractContextManager[Scene]]


def plan_of(
    base: Base,
    form: str,
    objectives: Mapping[str, str],
    sides: Mapping[str, Any],
    cutover: Mapping[str, Any],
    apis: Mapping[str, str] | None = None,
) -> Plan:
    """The plan that every form runs; `cutover` is what the form has otherwise, `apis` who answers for the base."""
    answers = {**base.apis, **(apis or {})}
    return Plan.model_validate(
        {
            "name": form,
            "kind": "cutover",
            "environment": "test",
            "owner": "muster prove",
            "target": {
                "type": "schedulers",
                "claims": base.ledger_url,
                **{
                    side: {"type": "prefect", "holder": colour, "api": answers[colour], **sides}
                    for side, colour in (("a", BLUE), ("b", GREEN))
                },
            },
            "objectives": {"rto": "30s", **objectives},
            "time_limit": "5m",
            "cutover": {
                "cut": {"tags": [form]},
                "steady": "6s",
                "watch": "10s",
                "bake": "2s",
                "quiet": "2s",
                "in_flight_limit": "30s",
                "look_back": "1m",
                "late": "25s",
                "commit": True,
                **cutover,
            },
        }
    )


def cut(
    *,
    drill: Callable[[Drill], Drill] = lambda drill: drill,
    objectives: Mapping[str, str] | None = None,
    sides: Mapping[str, Any] | None = None,
    careless: bool = False,
    trespassed: bool = False,
    ahead: int = 0,
    **cutover: Any,
) -> Plant:
    """A planter: canaries at work, then a cutover of them. `cutover` replaces keys of the plan's section.

    `trespassed`: one more worker of the old scheduler asks past its gate. `ahead`: seconds that the clock of the new
    one's server is.
    """

    @contextmanager
    def plant(base: Base, folder: Path) -> Iterator[Scene]:
        folder.mkdir(parents=True)
        form = folder.name
        with ExitStack() as stack:
            pool = stack.enter_context(base.pool())
            apis = {GREEN: stack.enter_context(base.ahead(GREEN, ahead, f"{GREEN}-{form}"))} if ahead else {}
            if trespassed:
                stack.enter_context(base.trespasser(BLUE, pool))
            start_canaries(base, form, pool, careless=careless)
            plan = plan_of(base, form, objectives or {}, sides or {}, cutover, apis)
            yield Scene(plan=plan, workspace=folder / "run", drill=drill)

    return plant
