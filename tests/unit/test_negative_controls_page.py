"""docs/negative-controls.md is the catalogue: `python tests/unit/test_negative_controls_page.py` writes it anew."""

from pathlib import Path

from tasks.faults.restore import GROUPS

ALL = [form for forms in GROUPS.values() for form in forms]
PAGE = Path(__file__).parents[2] / "docs" / "negative-controls.md"

HEAD = """# Negative controls

A drill that could not fail proves nothing. `muster prove restore` runs the restore drill, the very one that your plans
run, against faults that are planted on purpose, and against healthy forms that must pass.

- A fault counts as caught only when the check named here says `fail` (or the drill ends as named here). Whatever else
  was seen, any other end is printed as NOT CAUGHT, with what was seen.
- A healthy form must pass with nothing failed and nothing inconclusive.
- The exit code is 0 only when every fault was caught and every healthy form passed. The last line says it in numbers.
- The result is kept in the ledger, and stands as "last proven" in every later bundle. `--only NAME` tries some forms;
  that is never recorded.

Everything is planted in copies of one small shop with real backups, made for the occasion and removed afterwards. Some
faults are planted twice, the second time with the first line of defence switched off: the next one must hold alone.
"""


def render() -> str:
    """The page, from the catalogue."""
    planted = sum(form.is_planted for form in ALL)
    parts = [HEAD, f"{planted} faults are planted, {len(ALL) - planted} healthy forms must pass.\n"]
    for title, forms in GROUPS.items():
        parts.append(f"## {title}\n")
        if forms[0].is_planted:
            rows = [f"| `{f.name}` | {f.words} | {f.caught_by.name if f.caught_by else ''} |" for f in forms]
            parts.append("\n".join(["| name | what is planted | must be caught by |", "|---|---|---|", *rows]) + "\n")
        else:
            rows = [f"| `{f.name}` | {f.words} |" for f in forms]
            parts.append("\n".join(["| name | what must pass |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def test_the_page_is_the_catalogue():
    assert PAGE.read_text(encoding="utf-8") == render(), f"run python {Path(__file__).name}"


def test_names_are_unique_and_groups_are_of_one_kind():
    assert len({form.name for form in ALL}) == len(ALL)
    for forms in GROUPS.values():
        assert len({form.is_planted for form in forms}) == 1


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
