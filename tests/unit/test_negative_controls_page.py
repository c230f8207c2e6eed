"""docs/negative-controls.md is the catalogues: `python tests/unit/test_negative_controls_page.py` writes it anew."""

from pathlib import Path

import pytest

from tasks.faults import cutover, failover, restore, spark

PAGE = Path(__file__).parents[2] / "docs" / "negative-controls.md"

HEAD = """# Negative controls

A drill that could not fail proves nothing. `muster prove KIND` runs a drill, the very one that your plans run, against
faults that are planted on purpose, and against healthy forms that must pass. `KIND` is `restore`,
`failover`, `spark` or `cutover`.

- A fault counts as caught only when the check named here says `fail` (or the drill ends as named here). Whatever else
  was seen, any other end is printed as NOT CAUGHT, with what was seen.
- A healthy form must pass with nothing failed and nothing inconclusive.
- The exit code is 0 only when every fault was caught and every healthy form passed. The last line says it in numbers.
- The result is kept in the ledger, and stands as "last proven" in every later bundle. `--only NAME` tries some forms;
  that is never recorded.
"""

RESTORE = """# The restore drill: `muster prove restore`

Everything is planted in copies of one small shop with real backups, made for the occasion and removed afterwards. Some
faults are planted twice, the second time with the first line of defence switched off: the next one must hold alone.
"""

FAILOVER = """# The failover rehearsal: `muster prove failover`

Every form starts a copy of one pair of regions, made for the occasion: two real servers, a link between them, the
independent client. Times are short; nothing else is different from a rehearsal of yours. A fault between clients and
servers is a pooler of ours that breaks its word; one in a step is the product's own drill with that step done wrong.

Two checks have no form here. `versions`: no server streams from one of another major version. The client's own death
is no fault of the system: it makes a rehearsal inconclusive, never passed.
"""

SPARK = """# The stress drill: `muster prove spark`

Every form starts a cluster of its own from wheels: a master, two workers, a driver. The jobs sleep more than they
compute, so that a fault finds them at work; those that are planted behave until a task of theirs is run again. Where a
check must say `inconclusive`, anything else is NOT CAUGHT: a fault that hit nothing is none that was survived.
"""

CUTOVER = """# The cutover: `muster prove cutover`

Blue and green are started once, two real Prefect servers with a database and a worker each. Every form has canaries
and a pool of its own on them, due every few seconds, and hands them over by the product's own drill; what is planted is
done to the servers behind its back, or to one of its steps.
"""

PARTS = ((RESTORE, restore.GROUPS), (FAILOVER, failover.GROUPS), (SPARK, spark.GROUPS), (CUTOVER, cutover.GROUPS))


def render() -> str:
    """The page, from the catalogues."""
    parts = [HEAD]
    for head, groups in PARTS:
        forms = [form for group in groups.values() for form in group]
        planted = sum(form.is_planted for form in forms)
        parts.append(f"#{head}")
        parts.append(f"{planted} faults are planted, {len(forms) - planted} healthy forms must pass.\n")
        parts += [table(title, group) for title, group in groups.items()]
    return "\n".join(parts)


def table(title, forms) -> str:
    """One group."""
    if forms[0].is_planted:
        rows = [f"| `{f.name}` | {f.words} | {f.caught_by.name if f.caught_by else ''} |" for f in forms]
        head = ["| name | what is planted | must be caught by |", "|---|---|---|"]
    else:
        rows = [f"| `{f.name}` | {f.words} |" for f in forms]
        head = ["| name | what must pass |", "|---|---|"]
    return "\n".join([f"### {title}\n", *head, *rows]) + "\n"


def test_the_page_is_the_catalogues():
    assert PAGE.read_text(encoding="utf-8") == render(), f"run python {Path(__file__).name}"


@pytest.mark.parametrize("groups", [pytest.param(groups, id=head.split("`")[1]) for head, groups in PARTS])
def test_names_are_unique_and_groups_are_of_one_kind(groups):
    forms = [form for group in groups.values() for form in group]
    assert len({form.name for form in forms}) == len(forms)
    for group in groups.values():
        assert len({form.is_planted for form in group}) == 1


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
