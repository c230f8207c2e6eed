"""`prefect.yaml` from the plans: what stock `prefect deploy --all` makes deployments and schedules of.

Promises: the same plans always give the same text; every key in it is one that Prefect reads; no text of a plan is
taken for one of Prefect's placeholders.
"""

import re
from collections.abc import Iterable
from typing import Any

import yaml

from muster.cadence.spec import Cadence
from muster.cadence.wording import words_of
from muster.plan import Plan
from muster.quantity import format_seconds

HEADER = "# Rendered by `muster render` from the plans in deployments/: edit those, then render again.\n"
POOL = "muster"
HEALTH = "health"
"""Flow and queue of the watch that Prefect itself runs."""
SCHEDULED = "scheduled"
"""The reason of a run that a schedule starts."""
TAG = "muster"
"""Marks every deployment that comes from this file."""
_HEALTH_EVERY = 300
_AT_MOST_EVERY = 60
"""A hundred failures at once start one round, not a hundred."""


def prefect_file(plans: Iterable[Plan]) -> str:
    """The whole file as YAML. There is no `concurrency_limit` in it on purpose: docs/prefect.md says why."""
    content = {
        "name": POOL,
        "pull": [{"prefect.deployments.steps.set_working_directory": {"directory": "{{ $PWD }}"}}],
        "deployments": [*(_deployment(plan) for plan in plans), _health()],
    }
    return HEADER + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _deployment(plan: Plan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "version": plan.digest[:12],
        "description": _plain(_description(plan)),
        "tags": [
            TAG,
            f"kind:{plan.kind}",
            f"env:{plan.environment.value}",
            f"owner:{_slug(plan.owner)}",
            f"group:{_slug(plan.group)}",
        ],
        "entrypoint": f"flows/{plan.kind}.py:{plan.kind}",
        "parameters": {"plan": plan.name},
        "enforce_parameter_schema": True,
        "schedules": [{**_schedule(plan.cadence), "parameters": {"reason": SCHEDULED}}],
        "work_pool": {"name": POOL, "work_queue_name": plan.kind},
    }


def _health() -> dict[str, Any]:
    return {
        "name": POOL,
        "description": "Accounts for every slot, raises and resolves alerts, writes the health deck.",
        "tags": [TAG, HEALTH],
        "entrypoint": f"flows/{HEALTH}.py:{HEALTH}",
        "parameters": {},
        "enforce_parameter_schema": True,
        "schedules": [{"interval": _HEALTH_EVERY, "slug": "round", "active": True}],
        "triggers": [_trigger(name, events) for name, events in _TRIGGERS.items()],
        "work_pool": {"name": POOL, "work_queue_name": HEALTH},
    }


_TRIGGERS = {
    "a drill did not pass": ("drill.failed", "drill.inconclusive", "drill.aborted", "drill.missed"),
    "a drill left something behind": ("drill.left-behind",),
    "a plan is overdue": ("plan.overdue",),
}
"""Automations that start a round at once, so that people are told without delay, and the events that do so."""


def _trigger(name: str, events: Iterable[str]) -> dict[str, Any]:
    return {
        "name": f"muster: {name}",
        "enabled": True,
        "type": "event",
        "posture": "Reactive",
        "match": {"prefect.resource.id": "muster.plan.*"},
        "expect": [f"muster.{event}" for event in events],
        "threshold": 1,
        "within": _AT_MOST_EVERY,
    }


def _schedule(cadence: Cadence) -> dict[str, Any]:
    """The cadence as Prefect reads it. Which slot a run serves is computed anew when it starts, from the plan."""
    if cadence.interval is None:
        when: dict[str, Any] = {"cron": cadence.cron, "timezone": cadence.timezone}
    else:  # in UTC, since Prefect counts intervals of days in local time otherwise
        when = {
            "interval": int(cadence.interval.total_seconds()),
            "anchor_date": cadence.anchor.isoformat(),
            "timezone": "UTC",
        }
    return {**when, "slug": "cadence", "active": True}


def _description(plan: Plan) -> str:
    rto, rpo = plan.objectives.rto, plan.objectives.rpo
    promised = [f"{n} {format_seconds(o.total_seconds())}" for n, o in (("RTO", rto), ("RPO", rpo)) if o]
    facts = (
        ("Owner", plan.owner),
        ("Cadence", words_of(plan.cadence)),
        ("Objectives", ", ".join(promised)),
        ("Controls", ", ".join(plan.controls)),
        ("Approval", "asked for, of someone other than the starter" if plan.approval else ""),
    )
    lines = "\n".join(f"- {name}: {value}" for name, value in facts if value)
    return f"{plan.description}\n\n{lines}".strip()


def _plain(text: str) -> str:
    """Text in which Prefect finds no `{{ placeholder }}`."""
    return re.sub(r"\{(?=\{)", "{ ", text)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
