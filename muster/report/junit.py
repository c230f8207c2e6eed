"""JUnit XML, the one report that every CI shows: suites with their counts, and the document around them.

Promise: nothing is `skipped`, which most CIs show as good; counts are of the cases that are there.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from xml.etree import ElementTree as xml


def new_document() -> xml.Element:
    """The root of a document."""
    return xml.Element("testsuites", name="muster")


def add_suite(root: xml.Element, name: str, at: datetime, cases: Iterable[xml.Element]) -> None:
    """Add a suite with these cases, as of a moment."""
    suite = xml.SubElement(root, "testsuite", name=name, timestamp=f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}")
    suite.extend(cases)
    _count(suite, suite)


def write_document(root: xml.Element) -> str:
    """The document, whole."""
    _count(root, root.iter("testcase"))
    xml.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{xml.tostring(root, encoding="unicode")}\n'


def _count(element: xml.Element, cases: Iterable[xml.Element]) -> None:
    listed = list(cases)
    for name, tag in (("failures", "failure"), ("errors", "error")):
        element.set(name, str(sum(case.find(tag) is not None for case in listed)))
    element.set("tests", str(len(listed)))
    element.set("skipped", "0")
    element.set("time", f"{sum(float(case.get('time', 0)) for case in listed):.3f}")
