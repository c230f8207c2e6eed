"""The package as OSCAL assessment results: an observation a run and a gap, a finding a control.

Promises: the same package gives the same bytes, identities too; it fits OSCAL 1.2.1 (held by a test against NIST's
model). The trap: OSCAL knows objectives as `satisfied` or not. The objective here is ours, defined in the document
beside the control: that drills of the period support it. It says nothing of whether the control itself is met.
Source: NIST OSCAL 1.2.1, assessment results model; RFC 9562 (UUID version 5).
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from muster.cadence.controls import BY_ID
from muster.package.contents import Contents
from muster.package.controls import NOTE, SUPPORTS, ControlRow
from muster.package.document import line
from muster.package.log import written
from muster.package.population import PlanAccount
from muster.package.rows import Row
from muster.report.wording import printable, shortened

OSCAL = "1.2.1"
NAMESPACE = "urn:muster:oscal"
_CLASH = re.compile(r"[^a-z0-9]+")
_MARKUP = re.compile(r"([\\`*_\[\]<>|])")
_LONGEST, _NOTHING = 8_000, "none"
_REMARK = (
    "This objective is Muster's own: it is satisfied when runs of the period support the control and nothing that was"
    " due is missing. Whether the control is met is for its auditor."
)


def oscal_of(contents: Contents) -> dict[str, Any]:
    """The document `oscal.json`; its long lists are iterators."""
    writing = _Writing(contents)
    return {
        "assessment-results": {
            "uuid": writing.identity("document"),
            "metadata": {
                "title": _words(f"Resilience drills: release package {contents.name}"),
                "last-modified": written(contents.log.made_at),
                "version": _words(contents.name),
                "oscal-version": OSCAL,
                "props": [_prop("made-by", f"Muster {contents.muster}"), _prop("log-root", contents.log.root)],
            },
            "import-ap": {"href": f"#{writing.identity('plans')}"},
            "local-definitions": {"objectives-and-methods": [_objective(row) for row in contents.matrix]},
            "results": [writing.result()],
            "back-matter": {
                "resources": [
                    {
                        "uuid": writing.identity("plans"),
                        "title": "Plans of the drills",
                        "description": "What was due when, by which plan: every due time of the period.",
                        "rlinks": [{"href": "population.json", "media-type": "application/json"}],
                    }
                ]
            },
        }
    }


class _Writing:
    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._base: UUID = uuid5(NAMESPACE_URL, f"urn:muster:package:{contents.name}:{contents.log.root}")
        self._linked = {run.key for run in contents.linked}
        self._copied = {run.key for run in contents.copied}

    def identity(self, of: str) -> str:
        return str(uuid5(self._base, of))

    def result(self) -> dict[str, Any]:
        contents = self._contents
        result: dict[str, Any] = {
            "uuid": self.identity("result"),
            "title": _words(f"Drills due in {contents.period.name}"),
            "description": _markup(contents.population.says),
            "start": written(contents.period.start),
            "end": written(contents.period.end),
            "reviewed-controls": {
                "control-selections": [
                    {
                        "description": "Every control that Muster knows, and those of your own.",
                        "include-controls": [{"control-id": token_of(row.control.id)} for row in contents.matrix],
                    }
                ]
            },
            "findings": (self._finding(row) for row in contents.matrix),
            "remarks": NOTE,
        }
        if contents.population.rows:
            result["observations"] = map(self._observation, contents.population.rows)
            result["local-definitions"] = {"components": [self._component(plan) for plan in contents.population.plans]}
        return result

    def _component(self, plan: PlanAccount) -> dict[str, Any]:
        return {
            "uuid": self.identity(f"plan:{plan.name}"),
            "type": "service",
            "title": _words(f"Target of plan {plan.name}"),
            "description": _markup(f"What the {plan.kind or 'unknown'} drills of plan {plan.name} are done to."),
            "props": [_prop("plan", plan.name), *([_prop("cadence", plan.cadence)] if plan.cadence else [])],
            "status": {"state": "other" if plan.retired_at else "operational"},
        }

    def _observation(self, row: Row) -> dict[str, Any]:
        observation: dict[str, Any] = {
            "uuid": self._identity_of(row),
            "title": _words(f"{row.plan}, due {written(row.at)}: {row.outcome}"),
            "description": _markup(_told(row)),
            "props": [_prop("plan", row.plan), _prop("outcome", row.outcome), *_optional(row)],
            "methods": ["TEST" if row.entry else "EXAMINE"],
            "types": ["control-objective" if row.passed else "finding"],
            "subjects": [{"subject-uuid": self.identity(f"plan:{row.plan}"), "type": "component"}],
            "collected": written(row.entry.logged_at if row.entry else self._contents.log.made_at),
        }
        if row.entry:
            observation["relevant-evidence"] = [self._evidence(row)]
        return observation

    def _evidence(self, row: Row) -> Mapping[str, Any]:
        assert row.entry is not None  # noqa: S101 - asked by the caller
        said = _markup(f"The sealed bundle, SHA-256 {row.entry.sha256}, entry {row.entry.index} of the log.")
        if row.entry.key in self._copied:
            return {"href": f"runs/{row.entry.key}", "description": said}
        where = "Named in links.json." if row.entry.key in self._linked else "It is not in the package."
        return {"description": f"{said} {where}"}

    def _finding(self, row: ControlRow) -> dict[str, Any]:
        shows = row.says == SUPPORTS and not row.lacks
        told = (
            f"{len(row.supports):,} of the period's runs support it."
            if row.supports
            else "No run of the period supports it."
        )
        finding: dict[str, Any] = {
            "uuid": self.identity(f"control:{row.control.id}"),
            "title": _words(
                f"{row.control.id}: runs of the period {'support it' if row.supports else 'do not show it'}"
            ),
            "description": _markup(" ".join([told, *(f"Not shown: {lack}." for lack in row.lacks)])),
            "props": [_prop("control", row.control.id), _prop("shows", row.says)],
            "target": {
                "type": "objective-id",
                "target-id": objective_of(row.control.id),
                "status": {
                    "state": "satisfied" if shows else "not-satisfied",
                    "reason": "pass" if shows else "other",
                    "remarks": _REMARK,
                },
            },
        }
        if row.supports:
            finding["related-observations"] = [{"observation-uuid": self._identity_of(each)} for each in row.supports]
        return finding

    def _identity_of(self, row: Row) -> str:
        return self.identity(f"entry:{row.index}" if row.entry else f"slot:{row.slot}")


def token_of(control: str) -> str:
    """A control's id as OSCAL spells ids: `soc-2-a1-2`; one of your own ends in a digest, so that no two are one."""
    own = "" if control in BY_ID else f" {hashlib.sha256(control.encode()).hexdigest()[:8]}"
    token = _CLASH.sub("-", f"{control}{own}".lower()).strip("-")
    return token if token[:1].isalpha() else f"c-{token}"


def objective_of(control: str) -> str:
    """The id of our objective for a control."""
    return f"{token_of(control)}_drills"


def _objective(row: ControlRow) -> dict[str, Any]:
    control = row.control
    return {
        "control-id": token_of(control.id),
        "description": _markup(f"{control.id} ({control.source}) asks: {control.words}."),
        "parts": [
            {
                "id": objective_of(control.id),
                "name": "assessment-objective",
                "ns": NAMESPACE,
                "prose": _markup(f"Runs of the period support {control.id}, and none that was due is missing."),
            }
        ],
    }


def _told(row: Row) -> str:
    headline = row.sealed.headline if row.sealed else ""
    against = [f"{each.check}: {each.verdict}, {each.seen}" for each in (row.sealed.against if row.sealed else ())]
    return "; ".join(filter(None, (headline, *row.problems, *row.remarks, *against))) or row.outcome


def _optional(row: Row) -> Iterator[dict[str, str]]:
    if row.entry:
        yield _prop("run", row.entry.run)
        yield _prop("entry", str(row.entry.index))
    if row.slot:
        yield _prop("slot", row.slot)
    if row.waiver:
        yield _prop("waived-by", row.waiver.owner)
        yield _prop("waived-until", written(row.waiver.until))
    for problem in row.problems:
        yield _prop("problem", problem)


def _prop(name: str, value: str) -> dict[str, str]:
    return {"name": name, "ns": NAMESPACE, "value": _words(value)}


def _words(text: str) -> str:
    """A string of OSCAL: one line, something in it, no space around it."""
    return line(text).strip() or _NOTHING


def _markup(text: str) -> str:
    """Markdown in which nothing is markup."""
    return _MARKUP.sub(r"\\\1", shortened(printable(text), _LONGEST).strip()) or _NOTHING
