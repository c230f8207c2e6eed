"""The plan index: as fast as a look at the folder, and never another answer than reading every plan."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from test_plan import PLAN

import muster.planindex as planindex
from muster.cards import PlanCard, card_of
from muster.errors import UsageError
from muster.plan import POLICIES, load_plans
from muster.planindex import plan_cards

HOUR = 3600 * 10**9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "deployments"
    folder.mkdir()
    for name in ("alpha", "beta", "gamma"):
        write(folder, name)
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "plans.index.json"


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the files that were parsed."""
    names: list[str] = []
    card = planindex._card

    def spy(folder: Path, name: str) -> PlanCard:
        names.append(name)
        return card(folder, name)

    monkeypatch.setattr(planindex, "_card", spy)
    return names


def write(folder: Path, name: str, **changes: object) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(PLAN | {"name": name, "controls": ["SOC 2 A1.2"]} | changes))
    return path


def later() -> int:
    """A clock an hour ahead: every file's time stamps have settled."""
    return time.time_ns() + HOUR


def names(cards: tuple[PlanCard, ...]) -> list[str]:
    return [card.name for card in cards]


def truth(folder: Path) -> tuple[PlanCard, ...]:
    return tuple(card_of(plan, str(folder / f"{plan.name}.yaml")) for plan in load_plans(folder))


def test_an_unchanged_folder_is_answered_from_the_cache(folder: Path, cache: Path, parsed: list[str]) -> None:
    first = plan_cards(folder, cache, clock=later)
    assert first == truth(folder)
    assert parsed == ["alpha.yaml", "beta.yaml", "gamma.yaml"]
    assert plan_cards(folder, cache, clock=later) == first
    assert len(parsed) == 3


def test_a_changed_file_alone_is_read_again(folder: Path, cache: Path, parsed: list[str]) -> None:
    plan_cards(folder, cache, clock=later)
    write(folder, "beta", owner="someone else")
    write(folder, "delta")
    cards = plan_cards(folder, cache, clock=later)
    assert parsed[3:] == ["beta.yaml", "delta.yaml"]
    assert cards == truth(folder)
    assert cards[1].owner == "someone else"


def test_a_file_that_is_gone_vanishes(folder: Path, cache: Path) -> None:
    plan_cards(folder, cache, clock=later)
    (folder / "beta.yaml").unlink()
    assert names(plan_cards(folder, cache, clock=later)) == ["alpha", "gamma"]
    assert "beta" not in cache.read_text()


def test_a_changed_broken_file_is_an_error_and_never_served_stale(folder: Path, cache: Path) -> None:
    plan_cards(folder, cache, clock=later)
    write(folder, "beta", tpyo=1)
    for _ in range(2):
        with pytest.raises(UsageError, match=r"beta\.yaml.*tpyo"):
            plan_cards(folder, cache, clock=later)
    write(folder, "beta")
    assert names(plan_cards(folder, cache, clock=later)) == ["alpha", "beta", "gamma"]


def test_what_was_read_before_an_error_is_kept(folder: Path, cache: Path, parsed: list[str]) -> None:
    write(folder, "gamma", tpyo=1)
    for _ in range(2):
        with pytest.raises(UsageError, match="gamma"):
            plan_cards(folder, cache, clock=later)
    assert parsed == ["alpha.yaml", "beta.yaml", "gamma.yaml", "gamma.yaml"]


def test_a_plan_under_another_name_is_an_error(folder: Path, cache: Path) -> None:
    plan_cards(folder, cache, clock=later)
    (folder / "beta.yaml").rename(folder / "zeta.yaml")
    with pytest.raises(UsageError, match="holds a plan named 'beta'"):
        plan_cards(folder, cache, clock=later)


def test_a_link_to_nowhere_is_an_error(folder: Path, cache: Path) -> None:
    (folder / "omega.yaml").symlink_to(folder / "nowhere")
    with pytest.raises(UsageError, match="omega"):
        plan_cards(folder, cache, clock=later)


def test_an_edit_that_keeps_size_and_time_stamp_is_seen(folder: Path, cache: Path) -> None:
    """As `rsync -t` or `touch -r` leave it: the inode's own time tells."""
    before = (folder / "beta.yaml").stat()
    plan_cards(folder, cache, clock=later)
    write(folder, "beta", owner="abd@example.org")
    os.utime(folder / "beta.yaml", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (folder / "beta.yaml").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert plan_cards(folder, cache, clock=later)[1].owner == "abd@example.org"


def test_a_file_written_just_now_is_not_trusted_to_stay(folder: Path, cache: Path, parsed: list[str]) -> None:
    """Two edits within one tick of the file system's clock look alike."""
    newest = max(path.stat().st_ctime_ns for path in folder.iterdir())
    for _ in range(2):
        plan_cards(folder, cache, clock=lambda: newest + 10**9)
    assert len(parsed) == 6
    for _ in range(2):
        plan_cards(folder, cache, clock=lambda: newest + 3 * 10**9)
    assert len(parsed) == 9


def test_a_file_from_the_future_is_not_trusted_to_stay(folder: Path, cache: Path, parsed: list[str]) -> None:
    os.utime(folder / "beta.yaml", ns=(0, later() + HOUR))
    for _ in range(2):
        plan_cards(folder, cache, clock=later)
    assert parsed == ["alpha.yaml", "beta.yaml", "gamma.yaml", "beta.yaml"]


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", "null", "[" * 100_000, '{"header": 1}', "\udcff", "short", "foreign"],
    ids=["empty", "cut", "list", "null", "deep", "alien", "bytes", "short", "foreign"],
)
def test_a_damaged_cache_costs_time_and_nothing_else(folder: Path, cache: Path, damage: str) -> None:
    expected = plan_cards(folder, cache, clock=later)
    content = json.loads(cache.read_text())
    if damage == "short":
        content["plans"][0][2] = content["plans"][0][2][:-1]
        damage = json.dumps(content)
    elif damage == "foreign":
        content["header"]["code"] = "another Muster"
        content["plans"][0][2][4] = "not the owner"
        damage = json.dumps(content)
    cache.write_bytes(damage.encode("utf-8", "surrogateescape"))
    assert plan_cards(folder, cache, clock=later) == expected
    assert json.loads(cache.read_text())["plans"], "the cache was made anew"


def test_what_the_cache_says_is_what_is_shown(folder: Path, cache: Path) -> None:
    """The control of the test above: content under the right header is used."""
    plan_cards(folder, cache, clock=later)
    cache.write_text(cache.read_text().replace("dba@example.org", "the cache's own"))
    assert plan_cards(folder, cache, clock=later)[0].owner == "the cache's own"


def test_another_muster_reads_anew(folder: Path, cache: Path, parsed: list[str]) -> None:
    plan_cards(folder, cache, clock=later, code="one")
    plan_cards(folder, cache, clock=later, code="one")
    assert len(parsed) == 3
    plan_cards(folder, cache, clock=later, code="two")
    assert len(parsed) == 6


def test_another_folder_reads_anew(folder: Path, cache: Path, tmp_path: Path) -> None:
    plan_cards(folder, cache, clock=later)
    moved = folder.rename(tmp_path / "plans")
    assert plan_cards(moved, cache, clock=later) == truth(moved)


def test_where_no_cache_can_be_written_there_is_none(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "not made yet" / "plans.index.json"
    assert plan_cards(folder, cache, clock=later) == truth(folder)
    assert not cache.parent.exists()
    (tmp_path / "a folder").mkdir()
    assert plan_cards(folder, tmp_path / "a folder", clock=later) == truth(folder)
    assert list(tmp_path.glob(".*")) == [], "nothing is left of the attempt"


def test_policies_are_no_plans_and_no_folder_is_not_no_plan(folder: Path, cache: Path, tmp_path: Path) -> None:
    for name in POLICIES:
        (folder / f"{name}.yaml").write_text("rules: []")
    assert names(plan_cards(folder, cache, clock=later)) == ["alpha", "beta", "gamma"]
    assert {f"{name}.yaml" for name in POLICIES} == set(planindex._POLICIES)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert plan_cards(empty, cache) == load_plans(empty) == ()
    for missing in (tmp_path / "none", folder / "alpha.yaml"):
        with pytest.raises(UsageError, match=r"the plans folder .* cannot be read"):
            plan_cards(missing, cache)
        with pytest.raises(UsageError, match=r"the plans folder .* cannot be read"):
            load_plans(missing)
