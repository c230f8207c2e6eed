"""A DAG as a cutover has it: one job with one schedule, or why there is none.

Promises: pure; a rule is taken only when the next run that Airflow itself plans is a tick of it; whatever a rule of
ours cannot say is unfit, with the reason.
Traps: the `timezone` in a DAG's details is the default one of that Airflow, whatever the DAG's own is (3.3:
`DagModel.timezone`); a timetable's summary is words, not data (`1 day, 0:00:00` for a timedelta); a run over a data
interval is due at the interval's end, while its logical date is the start.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from muster.cadence.moments import cron_ticks
from muster.cutover.schedule import CronRule, IntervalRule, Job, Rule, Schedule, Unfit

_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
_CRON = re.compile(r"[0-9A-Za-z*/,#?-]+(?: [0-9A-Za-z*/,#?-]+){4}")
_DELTA = re.compile(r"(?:(?P<days>\d+) days?, )?(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d(?:\.\d+)?)")
_SPANS = (timedelta(hours=2), timedelta(days=2), timedelta(days=40), timedelta(days=400), timedelta(days=366 * 9))
_SECOND = timedelta(seconds=1)


def job_of(dag: Mapping[str, Any]) -> Job:
    """The job that a DAG is, from its row or its details."""
    params = {name: _default(param) for name, param in (dag.get("params") or {}).items()}
    return Job(
        name=dag["dag_id"],
        parameters=params,
        tags=tuple(tag["name"] for tag in dag["tags"]),
        owner=", ".join(dag["owners"]),
        concurrency=dag["max_active_runs"],
        own={"file": dag["relative_fileloc"], "bundle": dag["bundle_name"]},
    )


def schedule_of(details: Mapping[str, Any], now: datetime) -> Schedule | Unfit:
    """The schedule of a DAG, from its details."""
    name = details["dag_id"]
    if reason := _idle_reason(details, now):
        return Unfit(name=name, reason=reason)
    rule = rule_of(details)
    if isinstance(rule, str):
        return Unfit(name=name, reason=rule)
    if reason := fault_in(rule, details):
        return Unfit(name=name, reason=reason)
    return Schedule(name=name, job=name, rule=rule, active=not details["is_paused"], catch_up=details["catchup"])


def _idle_reason(details: Mapping[str, Any], now: datetime) -> str:
    """Why Airflow starts nothing of it, or not for good; empty where it does."""
    begins, ends = moment_of(details["start_date"]), moment_of(details["end_date"])
    if details["has_import_errors"]:
        return "its file cannot be imported, and Airflow starts nothing of it"
    if "scheduled" not in (details.get("allowed_run_types") or ["scheduled"]):
        return "it allows no scheduled runs"
    if ends:
        return f"it ends at {ends.isoformat()}: a rule with an end is not carried"
    if begins and begins > now:
        return f"it does not begin before {begins.isoformat()}"
    return ""


def rule_of(details: Mapping[str, Any]) -> Rule | str:
    """The rule that a timetable's summary tells; else why it is none."""
    summary, about = details["timetable_summary"], details["timetable_description"] or ""
    if summary is None:
        return f"it has no schedule of its own ({about or 'only triggered'})"
    if details.get("timetable_partitioned"):
        return f"its runs have partitions ({summary}), not due times alone"
    if match := _DELTA.fullmatch(summary):
        return _interval(match, details)
    expression = _PRESETS.get(summary, summary)
    if not _CRON.fullmatch(expression):
        return f"its timetable is {summary!r} ({about}): no cron expression of five fields, and no timedelta"
    return _cron(expression, details["timezone"] or "UTC")


def _cron(expression: str, zone: str) -> Rule | str:
    try:
        CronSim(expression, datetime(2020, 1, 1))
        ZoneInfo(zone)
    except CronSimError:
        return f"its cron expression {expression!r} is not one that others read"
    except (KeyError, ValueError, OSError):
        return f"its time zone {zone!r} has no name that others know"
    return CronRule(expression=expression, timezone=zone)


def _interval(match: re.Match[str], details: Mapping[str, Any]) -> Rule | str:
    given = {name: float(value) for name, value in match.groupdict(default="0").items()}
    anchor = moment_of(details["next_dagrun_run_after"])
    if anchor is None:
        return "it has an interval, and Airflow plans no next run to count from"
    return IntervalRule(seconds=timedelta(**given).total_seconds(), anchor=anchor)


def fault_in(rule: Rule, details: Mapping[str, Any]) -> str:
    """How the next run that Airflow plans contradicts a rule; empty where it does not, or plans none."""
    planned = moment_of(details["next_dagrun_run_after"])
    if planned is None or is_tick(rule, planned):
        return ""
    return (
        f"Airflow plans its next run at {planned.isoformat()}, which is no tick of {words_of(rule)}: "
        "where it is in another zone, say so in the plan's `timezones`"
    )


def fault_for(wanted: Schedule, details: Mapping[str, Any] | None, now: datetime) -> str:
    """Why a DAG cannot take a schedule over as it is deployed; empty where it can."""
    if details is None or details["is_stale"]:
        return f"there is no DAG {wanted.job} (rule: {words_of(wanted.rule)})"
    here = schedule_of(details, now)
    if isinstance(here, Unfit):
        return f"DAG {wanted.job} cannot take over: {here.reason}"
    if not is_same(wanted.rule, here.rule):
        return f"DAG {wanted.job} has {words_of(here.rule)}, not {words_of(wanted.rule)}"
    return "" if details["is_paused"] else f"DAG {wanted.job} is not paused"


def words_of(rule: Rule) -> str:
    """A rule in a few words."""
    if isinstance(rule, CronRule):
        return f"{rule.expression!r} in {rule.timezone}"
    if isinstance(rule, IntervalRule):
        return f"every {rule.seconds:g} s from {rule.anchor.isoformat()}"
    return f"a rule of the form {rule.form}"


def is_same(wanted: Rule, here: Rule) -> bool:
    """Whether two rules make the same ticks, as far as it can be seen by their words."""
    if isinstance(wanted, IntervalRule) and isinstance(here, IntervalRule):
        return wanted.seconds == here.seconds and is_tick(wanted, here.anchor)
    return wanted == here


def untold_of(schedule: Schedule) -> tuple[str, ...]:
    """What no DAG could carry of a schedule, in words."""
    told = [*_untold_of_rule(schedule.rule)]
    if schedule.jitter_seconds:
        told.append("Airflow has no jitter")
    if schedule.parameters:
        told.append("a schedule's own parameters: a DAG has only the defaults in its code")
    return tuple(told)


def _untold_of_rule(rule: Rule) -> Iterator[str]:
    if isinstance(rule, IntervalRule):
        yield "Airflow counts a timedelta from the DAG's last run, unless it has `catchup` or data intervals"
    elif not isinstance(rule, CronRule):
        yield f"Airflow has no rule of the form {rule.form}"
    elif len(fields := rule.expression.split()) != 5:
        yield "a cron expression of other than five fields is not read here"
    elif not rule.day_or and "*" not in (fields[2], fields[4]):
        yield "in Airflow either day of month or day of week is enough"


def is_tick(rule: Rule, moment: datetime) -> bool:
    """Whether a rule is due at a moment; on the second pass of a clock that goes back, too."""
    if not isinstance(rule, CronRule):
        return moment in ticks(rule, moment - _SECOND, moment)
    clock = moment.astimezone(ZoneInfo(rule.timezone)).replace(tzinfo=None)
    return next(CronSim(rule.expression, clock - _SECOND)) == clock or moment in ticks(rule, moment - _SECOND, moment)


def ticks(rule: Rule, after: datetime, until: datetime) -> Iterator[datetime]:
    """The due times of a rule in (after, until]."""
    if isinstance(rule, CronRule):
        return takewhile(lambda tick: tick <= until, cron_ticks(rule.expression, rule.timezone, after))
    if isinstance(rule, IntervalRule):
        return takewhile(lambda tick: tick <= until, _steps(rule, after))
    raise TypeError(rule.form)


def _steps(rule: IntervalRule, after: datetime) -> Iterator[datetime]:
    step = timedelta(seconds=rule.seconds)
    tick = rule.anchor + ((after - rule.anchor) // step + 1) * step
    while True:
        yield tick
        tick += step


def data_interval(rule: Rule, details: Mapping[str, Any], tick: datetime) -> tuple[datetime, datetime] | None:
    """Start and end of what the run of a tick is about; the start is its logical date. `None`: it cannot be told."""
    planned, logical = moment_of(details["next_dagrun_run_after"]), moment_of(details["next_dagrun_logical_date"])
    if planned is None or logical is None:
        return None
    if logical != planned and logical == _before(rule, planned):
        start = _before(rule, tick)
        return None if start is None else (start, tick)
    return tick - (planned - logical), tick


def _before(rule: Rule, tick: datetime) -> datetime | None:
    for span in _SPANS:
        if earlier := [one for one in ticks(rule, tick - span, tick) if one < tick]:
            return earlier[-1]
    return None


def moment_of(said: str | None) -> datetime | None:
    """A moment as the API writes it."""
    return datetime.fromisoformat(said).astimezone(UTC) if said else None


def _default(param: Any) -> Any:
    return param.get("value") if isinstance(param, Mapping) else param
