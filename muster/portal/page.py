"""The portal as files: one page, its details in shards, and downloads for other programs.

Promises: the same data gives the same bytes; the page needs no server and no network, and says that it is no evidence;
nothing from a run can become markup or script (autoescape, data as JSON that is parsed, and a policy that runs the
page's own script alone).
Source: W3C Content Security Policy Level 3 (hashes, `strict-dynamic`).
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from muster.portal import wording
from muster.portal.columns import index_of
from muster.portal.coverage import keys_of, probe_of, ranges_of, witnesses_of
from muster.portal.details import dumped, shards_of
from muster.portal.downloads import csv_of, json_of
from muster.portal.gaps import gaps_of
from muster.portal.model import PortalData
from muster.portal.outcomes import OUTCOMES
from muster.portal.reading import Run, packages_of, runs_of

NEWEST = 50
"""Runs that the page lists without its script."""
PREFIX = "portal/"


def render_portal(data: PortalData) -> dict[str, bytes]:
    """Every file of the portal by its key in the store: `portal/index.html`, `portal/runs/NUMBER.js`, downloads.

    All of it is held in memory: about 3 KB a run.
    """
    runs, packages = runs_of(data), packages_of(data)
    lacks = gaps_of(data, runs)
    index = index_of(data, runs)
    counts = Counter(OUTCOMES[outcome] for outcome in index["runs"]["outcome"])
    page = _page(
        data=data,
        lacks=lacks,
        runs=runs,
        packages=packages,
        ranges=ranges_of(data),
        witnesses=witnesses_of(data),
        keys=keys_of(data),
        probe=probe_of(data),
        unchecked=sum(each.at is None for each in data.anchors),
        counts=[(outcome, counts[outcome]) for outcome in OUTCOMES if counts[outcome]],
        newest=sorted(runs, key=_newest_first)[:NEWEST],
        periods=periods_of(runs, data.at),
        index=Markup(dumped(index)),  # noqa: S704 - JSON without a single `<` or `&`
    )
    files = {"index.html": page, "runs.csv": csv_of(runs, data), "runs.json": json_of(runs, packages, lacks, data)}
    files |= {f"runs/{number:06d}.js": content for number, content in shards_of(runs).items()}
    return {f"{PREFIX}{name}": content for name, content in files.items()}


def periods_of(runs: Sequence[Run], at: datetime) -> tuple[tuple[str, date, date], ...]:
    """Years and quarters in which something was due, the newest first: name, first and last day."""
    days = {run.due.date() for run in runs if run.due and run.due <= at + timedelta(days=1)}
    years = {(f"{day.year}", date(day.year, 1, 1), date(day.year, 12, 31)) for day in days}
    quarters = {_quarter(day.year, (day.month - 1) // 3) for day in days}
    return tuple(sorted(years | quarters, key=lambda period: (period[2], period[1]), reverse=True))[:40]


def _quarter(year: int, number: int) -> tuple[str, date, date]:
    first = date(year, 3 * number + 1, 1)
    last = date(year, 12, 31) if number == 3 else date(year, 3 * number + 4, 1) - timedelta(days=1)
    return f"{year}-Q{number + 1}", first, last


def _newest_first(run: Run) -> tuple[float, int]:
    return -run.due.timestamp() if run.due else 0.0, -run.index


def _page(**values: object) -> bytes:
    environment = _environment()
    style, script = _source(environment, "report.css", "portal.css"), _source(environment, "portal.js")
    page = environment.get_template("portal.html")
    return page.render(style=style, script=script, policy=_policy(style, script), say=wording, **values).encode()


def _policy(style: str, script: str) -> str:
    """`strict-dynamic` lets our script load shards, from a folder too, where no origin could be named."""
    return (
        f"default-src 'none'; script-src {_hash(script)} 'strict-dynamic' 'self'; style-src {_hash(style)};"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _source(environment: Environment, *names: str) -> Markup:
    loader = environment.loader
    assert loader is not None  # noqa: S101 - for the type checker: `_environment` gives it one
    found = (loader.get_source(environment, name)[0] for name in names)
    return Markup("".join(found))  # noqa: S704 - our own files, as they are


@cache
def _environment() -> Environment:
    # the report's page lends its style sheet: what one installation writes looks like one thing
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("muster.portal"), PackageLoader("muster.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"minute": wording.minute, "seconds": wording.format_seconds, "number": "{:,}".format}
    return environment
