"""What the log says of plans, as a package holds it.

Promises: only what an entry names, byte for byte, is read; of statements that do not follow one another the first of
each number counts. Who signed them is the verifier's to check.
Source: docs/evidence-format.md, "Plans".
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath

from evidence.plans import LoggedStatement, follows, parse_plan_statement
from muster.package.inputs import Content, bytes_of
from muster.package.log import Log


def read_statements(log: Log, records: Mapping[str, Content]) -> dict[str, tuple[LoggedStatement, ...]]:
    """The statements of each plan, in order; `records` are by their name below `records/`."""
    found: dict[str, list[LoggedStatement]] = defaultdict(list)
    for entry in log.plans:
        content = records.get(PurePosixPath(entry.key).name)
        envelope = bytes_of(content) if content is not None else b""
        said = parse_plan_statement(envelope)
        if said is None or hashlib.sha256(envelope).hexdigest() != entry.envelope:
            continue
        last = found[said.plan][-1] if found[said.plan] else None
        if follows(said, last.envelope if last else None, last.said if last else None):
            found[said.plan].append(LoggedStatement(said, entry.envelope, entry.index, entry.logged_at))
    return {plan: tuple(statements) for plan, statements in found.items() if statements}
