"""The report as one HTML page, for a desk, a phone and paper, in light and dark.

Promises: the same document always gives the same bytes; the page needs no script, no network and no other file;
nothing that was sealed can become markup (autoescape, and a policy that forbids scripts and loads).
"""

from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from muster.package.document import MARKS, Document


def render_html(document: Document) -> str:
    """The page, UTF-8."""
    return _environment().get_template("package.html").render(document=document, marks=MARKS)


@cache
def _environment() -> Environment:
    # the run's report lends its style sheet: what one installation writes looks like one thing
    return Environment(
        loader=ChoiceLoader([PackageLoader("muster.package"), PackageLoader("muster.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
