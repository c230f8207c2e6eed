"""What the undo says itself: of ticks that fell in between, what it made up for, and what nobody started. Pure."""

from muster.cutover.observations import HomeSeen
from muster.cutover.section import spec_of
from muster.cutover.spec import CatchUp
from muster.finding import Finding, judge, unseen
from muster.journal import History
from muster.plan import Plan
from muster.quantity import count_of


def nothing_fell_in_between(history: History, plan: Plan) -> Finding:
    """What was due while the undo changed hands, and since the drill's own account, was started by somebody."""
    expected = "every due time that the undo found unserved was made up for, but for what the plan skips"
    seen = history.latest(HomeSeen)
    if seen is None:
        return unseen("made up for", expected, "nobody came home")
    is_asked = spec_of(plan).catch_up is CatchUp.RUN
    told = told_of(seen)
    if seen.missed.count and is_asked:
        return judge("made up for", False, expected, f"{told}: {seen.missed.examples[0]}",
                     "start them by hand, or raise `look_back`", seen.missed.examples)  # fmt: skip
    if seen.untold:
        return unseen("made up for", expected, told, "see the jobs' own traces; guard them, or give cron its log")
    return judge("made up for", True, expected, told)


def told_of(seen: HomeSeen) -> str:
    """The undo's account in a few words."""
    parts = [
        f"{seen.caught_up.count} made up for" if seen.caught_up.count else "",
        f"{count_of(seen.missed.count, 'due time', 'due times')} started by nobody" if seen.missed.count else "",
        f"{seen.untold} of which nothing says whether they were started" if seen.untold else "",
    ]
    return ", ".join(filter(None, parts)) or "none was left"
