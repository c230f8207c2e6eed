"""A command line is taken apart as its shell would have read it: what it claims with, and what it works."""

import subprocess
from pathlib import Path

import pytest

from muster.cutover.claimline import read_claim


@pytest.mark.parametrize(
    "claim",
    [
        "muster tick orders --at minute -- ",
        "muster tick orders --at minute && ",
        "/opt/muster/.venv/bin/muster tick orders --at minute -- ",
        "  MUSTER_HOLDER=cron MUSTER_LEDGER='postgresql:///m' muster   tick orders --at minute -- ",
        'muster tick orders --at "$(date -u +%FT%H:%MZ)" --holder blue && ',
    ],
)
@pytest.mark.parametrize("work", ["/opt/shop/orders.sh", "work -- --all && echo done", "echo 'a -- b' > out 2>&1"])
def test_a_claim_in_front_is_taken_off(claim: str, work: str) -> None:
    assert read_claim(claim + work)._replace(holder="") == (work, "orders", "", "", "", False)


@pytest.mark.parametrize(
    "command",
    ["/opt/shop/orders.sh", "echo muster ticks -- yes", "taskmuster tick orders -- work", "muster undo run -- x", ""],
)
def test_what_is_no_claim_stays(command: str) -> None:
    assert read_claim(command) == (command, "", "", "", "", False)


@pytest.mark.parametrize(
    "command",
    [
        "cd /srv && muster tick orders --at minute -- work",
        "if muster tick orders --at minute; then work; fi",
        "muster tick orders --at minute; work",
        "(/opt/bin/muster tick orders --at minute) && work",
        "muster tick orders --at minute -- muster tick orders -- work",
    ],
)
def test_a_claim_elsewhere_is_told(command: str) -> None:
    assert read_claim(command).is_inside


@pytest.mark.parametrize(
    ("words", "schedule"),
    [("'orders#night' --at minute", "orders#night"), ("--at minute orders", ""), ('"$NAME" --at minute', "")],
)
def test_whose_tick_it_is_is_read_where_that_is_sure(words: str, schedule: str) -> None:
    assert read_claim(f"muster tick {words} -- work").schedule == schedule


def test_what_the_claim_says_is_kept() -> None:
    said = read_claim("muster tick orders --when-away=run --holder 'blue' --patience 3 --at minute -- work --holder x")
    assert (said.holder, said.when_away, said.patience) == ("blue", "run", "3")


def test_what_is_left_is_what_the_shell_would_have_run(tmp_path: Path) -> None:
    stand_in = tmp_path / "muster"
    stand_in.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift || exit 0; done\nshift\nexec "$@"\n')
    stand_in.chmod(0o755)
    for command in (
        f"{stand_in} tick orders --at minute -- printf '%s|' a 'b -- c' && printf d",
        f"MUSTER_HOLDER=x {stand_in} tick orders --at minute -- sh -c 'printf $0$1' e f; printf g",
    ):
        whole, work = (
            subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True, check=True).stdout
            for text in (command, read_claim(command).work)
        )
        assert whole == work != ""
