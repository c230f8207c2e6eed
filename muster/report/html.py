"""The HTML report of a run: one file that explains itself to an auditor years later.

Promises: the same summary always gives the same bytes; the file needs no script, no network and no other file;
nothing from the journal can become markup (autoescape, and a policy that forbids scripts and loads).
"""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from muster.quantity import format_seconds
from muster.report import activity, costs, ticklines, traffic, wording
from muster.report.timeline import lay_out
from muster.summary import Summary


def render_html(summary: Summary) -> str:
    """The report as one self-contained HTML document, UTF-8."""
    told = wording.readable(summary)
    return (
        _environment()
        .get_template("report.html")
        .render(
            run=told,
            timeline=lay_out(told),
            traffic=traffic.plot(told.traffic) if told.traffic else None,
            activity=activity.plot(told.activity) if told.activity else None,
            ticks=ticklines.plot(told.ticks) if told.ticks else None,
            ticks_since=ticklines.since_of(told.ticks) if told.ticks else "",
            say=wording,
            costs=costs,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("muster.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"seconds": format_seconds, "moment": wording.moment}
    return environment
