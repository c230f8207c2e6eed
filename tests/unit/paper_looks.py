"""Plans whose targets can be looked at, and a conductor whose drill has a look of paper."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from paper import paper_conductor, paper_drill

from muster.conduct import Conductor
from muster.finding import Finding, judge
from muster.ledger import Ledger
from muster.plan import Plan
from muster.settings import Settings

WELL = judge("lag", True, "at most 10 s", "0.1 s behind")
ILL = judge("lag", False, "at most 10 s", "31 s behind", "the standby does not keep up")

Look = Callable[[Any, Plan], tuple[Finding, ...]]


def a_plan(name: str = "failover-shop", *, every: str = "5m", **changes: Any) -> Plan:
    content = {
        "name": name, "kind": "failover", "environment": "test", "owner": "shop team", "target": {"type": name},
        "failover": {"scenario": "kill", "ready": {"every": every}},
    }  # fmt: skip
    return Plan.model_validate(content | changes)


@dataclass
class Paper:
    """What looks find, by plan; `ready` where nothing else is said."""

    finds: dict[str, Look] = field(default_factory=dict)
    looked: list[str] = field(default_factory=list)

    def __call__(self, target: Any, plan: Plan) -> tuple[Finding, ...]:
        self.looked.append(plan.name)
        return self.finds.get(plan.name, lambda _target, _plan: (WELL,))(target, plan)

    def is_ill(self, name: str = "failover-shop") -> None:
        self.finds[name] = lambda _target, _plan: (WELL, ILL)

    def is_well(self, name: str = "failover-shop") -> None:
        self.finds.pop(name, None)

    def breaks(self, error: BaseException, name: str = "failover-shop") -> None:
        def raises(_target: Any, _plan: Plan) -> tuple[Finding, ...]:
            raise error

        self.finds[name] = raises


def looking_conductor(settings: Settings, ledger: Ledger, paper: Look) -> Conductor:
    return paper_conductor(settings, ledger, replace(paper_drill(), kind="failover", ready=paper))
