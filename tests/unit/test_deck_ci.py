"""What is shipped for CI is as GitHub's and GitLab's own schemas ask, and calls commands that exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from muster.cli import app
from muster.deck.comment import MARK
from muster.deck.section import BEGIN, END

GITHUB, GITLAB = Path("docs/ci/github-workflow.yml"), Path("docs/ci/gitlab-job.yml")
LINTS = {
    GITHUB: ("--builtin-schema", "vendor.github-workflows"),
    GITLAB: ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"),
}
FAULTS = {GITHUB: ("runs-on:", "run-on:"), GITLAB: ("when: always", "when: allways")}


def lint(file: Path, kind: Path) -> int:
    program = Path(sys.executable).with_name("check-jsonschema")
    return subprocess.run([program, *LINTS[kind], file], capture_output=True, timeout=120, check=False).returncode


@pytest.mark.parametrize("file", LINTS, ids=lambda f: f.name)
def test_the_lint_passes_what_is_shipped_and_catches_a_planted_fault(file: Path, tmp_path: Path) -> None:
    assert lint(file, file) == 0
    good, bad = FAULTS[file]
    broken = tmp_path / "broken.yml"
    broken.write_text(file.read_text(encoding="utf-8").replace(good, bad), encoding="utf-8")
    assert lint(broken, file) == 1


@pytest.mark.parametrize("file", LINTS, ids=lambda f: f.name)
def test_only_options_that_exist_are_used(file: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    calls = [shlex.split(call) for call in re.findall(r"\.venv/bin/muster (.+)", text)]
    assert {call[0] for call in calls} == {"deck", "gate"}
    for call in calls:
        known = {name for option in commands[call[0]].params for name in option.opts}
        assert {word for word in call if word.startswith("--")} <= known


def test_the_workflow_writes_only_in_the_job_that_runs_nothing_of_the_pull_request() -> None:
    workflow = yaml.safe_load(GITHUB.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in workflow["jobs"]["deck"]
    comment = workflow["jobs"]["comment"]
    assert comment["permissions"] == {"pull-requests": "write"}
    assert not any("checkout" in step.get("uses", "") for step in comment["steps"])
    assert f'startswith("{MARK}")' in comment["steps"][1]["run"]


GH = """#!/bin/sh
echo "$@" >> calls
case "$*" in *--paginate*) cat comments ;; esac
"""


@pytest.mark.parametrize(
    ("comments", "done"),
    [
        ("", "--method POST repos/o/r/issues/7/comments --field body=@deck/comment.md --silent"),
        ("41\n52\n", "--method PATCH repos/o/r/issues/comments/41 --field body=@deck/comment.md --silent"),
    ],
    ids=["none yet", "written before"],
)
def test_the_comment_is_written_once_and_then_edited(tmp_path: Path, comments: str, done: str) -> None:
    """The script as shipped, with a `gh` that tells which comments it found and notes what it is asked for."""
    script = yaml.safe_load(GITHUB.read_text(encoding="utf-8"))["jobs"]["comment"]["steps"][1]["run"]
    (tmp_path / "comments").write_text(comments)
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "REPOSITORY": "o/r", "NUMBER": "7"}
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=environment, timeout=60, check=True)
    assert (tmp_path / "calls").read_text().splitlines()[1:] == [f"api {done}"]


def test_without_a_ledger_the_workflow_stops_before_it_shows_every_drill_as_never(tmp_path: Path) -> None:
    steps = yaml.safe_load(GITHUB.read_text(encoding="utf-8"))["jobs"]["deck"]["steps"]
    (script,) = [step["run"] for step in steps if step.get("name") == "Draw the deck"]
    environment = {"PATH": "/usr/bin:/bin", "MUSTER_LEDGER": "", "DECK_URL": ""}
    done = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, env=environment, timeout=60, check=False, capture_output=True, text=True
    )
    assert done.returncode == 64
    assert done.stdout.startswith("::error title=No ledger::")


@pytest.mark.parametrize("file", LINTS, ids=lambda f: f.name)
def test_no_expression_is_put_into_a_script(file: Path) -> None:
    """Text of a pull request in `${{ }}` within a script would be run (GitHub: "script injections")."""
    workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
    scripts = [step["run"] for job in workflow.get("jobs", {}).values() for step in job["steps"] if "run" in step]
    assert not any("${{" in script for script in scripts)


def test_the_shipped_page_has_one_pair_of_marks() -> None:
    lines = Path("docs/status/ci_health.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line in (BEGIN, END)] == [BEGIN, END]
