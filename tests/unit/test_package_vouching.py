"""Who vouches for the log in a package: of each authority and each witness what is needed, whatever the others did."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from package_paper import AUGUST, DUE, JULY, standing
from test_package_gather import Q3, Estate

from evidence.log import head_key
from muster.notary.vouched import size_in
from muster.package.log import copy_log
from muster.package.vouching import vouched_for

TOKEN, LINE = b"no token that could be checked", b"no cosignature that could be checked\n"


@pytest.fixture
def estate(tmp_path: Path) -> Estate:
    """Three runs a day about the quarter's due times."""
    estate = Estate(tmp_path)
    estate.ledger.known = [standing("orders")]
    for due in DUE:
        estate.run("orders", due)
        for hours in (1, 2):
            estate.enter_on_demand(due + timedelta(hours=hours))
    return estate


def stamp(estate: Estate, size: int, *who: str) -> None:
    for name in who:
        kind = "times" if name.endswith(".tsr") else "cosignatures"
        estate.store.put_bytes(f"log/{kind}/{size:020d}/{name}", TOKEN if kind == "times" else LINE)


def brought(estate: Estate) -> list[str]:
    """What a package of the quarter has, without the heads; those are as many as there are sizes."""
    vault = estate.sources().vault
    log = copy_log((entry.content for entry in vault.entries()), vault.view.head.content, Q3, None, None)
    files = vouched_for(vault, [], [], log, None).files
    heads = {key for key in files if key.startswith("log/heads/")}
    others = [key for key in files if key not in heads]
    assert heads == {head_key(size_in(key)) for key in others}
    return sorted(f"{size_in(key)} {key.rpartition('/')[2]}" for key in others)


def size_after(estate: Estate, due: datetime, runs: int) -> int:
    """The size of the head under which so many of that day's runs are."""
    entries = [entry for entry in estate.sources().vault.entries() if entry.logged_at.date() == due.date()]
    return entries[runs - 1].index + 1


def test_of_many_heads_the_newest_of_each_day_is_brought(estate: Estate) -> None:
    for due in (JULY, AUGUST):
        for runs in (1, 2, 3):
            stamp(estate, size_after(estate, due, runs), "one.tsr")
    assert brought(estate) == [f"{size_after(estate, due, 3)} one.tsr" for due in (JULY, AUGUST)]


@pytest.mark.parametrize("late", ["witness", "two.tsr"])
def test_an_authority_that_missed_the_last_head_of_a_day_is_brought_with_the_one_before(
    estate: Estate, late: str
) -> None:
    first, last = size_after(estate, JULY, 1), size_after(estate, JULY, 3)
    stamp(estate, first, "one.tsr")
    stamp(estate, last, late)
    assert brought(estate) == sorted([f"{first} one.tsr", f"{last} {late}"])


def test_the_last_head_before_the_first_run_is_brought_and_no_older_one(estate: Estate) -> None:
    june = DUE[4]
    for due, runs in ((DUE[0], 3), (june, 1), (june, 3)):
        stamp(estate, size_after(estate, due, runs), "one.tsr")
    stamp(estate, size_after(estate, june, 2), "witness")
    stamp(estate, size_after(estate, JULY, 3), "one.tsr")
    assert brought(estate) == sorted(
        [
            f"{size_after(estate, june, 3)} one.tsr",
            f"{size_after(estate, june, 2)} witness",
            f"{size_after(estate, JULY, 3)} one.tsr",
        ]
    )


def test_a_head_for_which_two_vouch_is_told_once(estate: Estate) -> None:
    size = size_after(estate, JULY, 3)
    stamp(estate, size, "one.tsr", "witness")
    vault = estate.sources().vault
    log = copy_log((entry.content for entry in vault.entries()), vault.view.head.content, Q3, None, None)
    vouched = vouched_for(vault, [], [], log, None)
    assert [(anchor.size, anchor.authority, anchor.at) for anchor in vouched.anchors] == [(size, "one", None)]
    assert len(vouched.files) == 3


def test_a_head_that_the_package_does_not_reach_is_left_out(estate: Estate) -> None:
    stamp(estate, size_after(estate, JULY, 3), "one.tsr")
    vault = estate.sources().vault
    log = copy_log((entry.content for entry in vault.entries()), vault.view.head.content, Q3, None, None)
    stamp(estate, log.size + 1, "one.tsr")
    assert {size_in(key) for key in vouched_for(vault, [], [], log, None).files} == {size_after(estate, JULY, 3)}
