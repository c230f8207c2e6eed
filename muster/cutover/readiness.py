"""Whether a pair of schedulers would take a cutover now: findings of one harmless look. Pure."""

from collections.abc import Sequence

from muster.cutover.schedule import Inventory
from muster.cutover.spec import CutoverSpec
from muster.finding import Finding, judge
from muster.quantity import count_of

APART = "put them into one wave, or have them held apart (Prefect: `gate: deployment`, or work pools of their own)"


def findings_of(
    inventory: Inventory, untold: Sequence[tuple[str, str]], spec: CutoverSpec, tangle: str = ""
) -> tuple[Finding, ...]:
    """What was found; `untold` is what the new scheduler could not carry, by schedule; `tangle`, why a wave cannot go
    by itself.
    """
    active = sum(schedule.active for schedule in inventory.schedules)
    wrong = [f"{name}: {words}" for name, words in untold if not words.startswith(spec.accept)]
    wrong += [f"{unfit.name}: {unfit.reason}" for unfit in inventory.unfit if not unfit.reason.startswith(spec.accept)]
    return (
        judge("schedules", active > 0, "there are active schedules in the cut",
              f"{count_of(active, 'active schedule', 'active schedules')}", "see `cutover.cut`"),
        judge("translation", not wrong, "the other scheduler can carry every one of them",
              wrong[0] + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else "") if wrong else "it can",
              "change the schedule, leave it out, or accept it (`cutover.accept`)", tuple(wrong)),
        *([judge("waves", not tangle, "each wave can be held by itself", tangle or "it can", APART)] if spec.waves
          else []),
    )  # fmt: skip
