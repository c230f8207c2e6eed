"""Whether a pair of schedulers would take a cutover now: findings of one harmless look. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from muster.cutover.schedule import Inventory
from muster.cutover.spec import CutoverSpec
from muster.finding import Finding, judge
from muster.quantity import count_of

APART = "put them into one wave, or have them held apart (Prefect: `gate: deployment`, or work pools of their own)"
_EXPECTED = {
    "owner": ("by the ledger they are the old scheduler's, or nobody's", "they are"),
    "claims": ("jobs claim as the old scheduler's `holder`", "nothing says otherwise"),
    "names": ("the other scheduler can be given copies of these names", "it can"),
    "waves": ("each wave can be held by itself", "it can"),
}


class Fault(NamedTuple):
    """A reason against a cutover, besides what cannot be carried."""

    about: str
    """`owner`, `waves`, `claims` or `names`."""
    words: str
    advice: str


def findings_of(
    inventory: Inventory, untold: Sequence[tuple[str, str]], spec: CutoverSpec, faults: Sequence[Fault] = ()
) -> tuple[Finding, ...]:
    """What was found; `untold` is what the new scheduler could not carry, by schedule."""
    against = {fault.about: fault for fault in faults}
    active = sum(schedule.active for schedule in inventory.schedules)
    wrong = [f"{name}: {words}" for name, words in untold if not words.startswith(spec.accept)]
    wrong += [f"{unfit.name}: {unfit.reason}" for unfit in inventory.unfit if not unfit.reason.startswith(spec.accept)]
    return (
        judge("schedules", active > 0, "there are active schedules in the cut",
              f"{count_of(active, 'active schedule', 'active schedules')}", "see `cutover.cut`"),
        judge("translation", not wrong, "the other scheduler can carry every one of them",
              wrong[0] + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else "") if wrong else "it can",
              "change the schedule, leave it out, or accept it (`cutover.accept`)", tuple(wrong)),
        *(_found(about, against.get(about), *words) for about, words in _EXPECTED.items() if _is_asked(about, spec)),
    )  # fmt: skip


def _is_asked(about: str, spec: CutoverSpec) -> bool:
    return about != "waves" or bool(spec.waves)


def _found(about: str, fault: Fault | None, expected: str, well: str) -> Finding:
    return judge(about, fault is None, expected, fault.words if fault else well, fault.advice if fault else "")
