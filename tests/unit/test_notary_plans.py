"""Plans told to the log: enrolled, changed, retired, once each, whatever dies in between, whoever else goes round."""

import base64
import json
import os
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from evidence.errors import StoreUnreachable
from evidence.keys import load_public
from evidence.plans import PlanEvent, follows, parse_plan_statement
from evidence.statement import PredicateType
from evidence.stores import DirectoryStore
from evidence.vault import Vault
from evidence.verify import verify
from muster.cards import card_of
from muster.cli import invoke
from muster.cli.watch import Watcher
from muster.ledger import Ledger, open_ledger
from muster.notary.plans import Memory, Telling, tell_plans
from muster.opening import Request
from muster.plan import Plan
from muster.settings import Settings
from muster.slots import account_slots
from muster.verdict import Outcome
from muster.watch.shelf import Shelf
from tests.unit.paper import PLAN, bundles_of, paper_conductor, paper_drill, paper_step

HOUR = timedelta(hours=1)


def plan(name: str = "orders", **changes: Any) -> Plan:
    raw = PLAN.model_dump(mode="json", include={"kind", "environment", "owner", "target", "restore"})
    cadence = {"cron": "0 3 1 * *", "grace": "1h"}
    return Plan.model_validate({**raw, "name": name, "cadence": cadence, "controls": ["internal: drills"], **changes})


def told(settings: Settings) -> list[dict[str, Any]]:
    """What the log says of plans, in order, each checked to be what its entry names."""
    vault = Vault.open(DirectoryStore(Path(settings.store)), load_public(settings.public_key_file))
    said = []
    for entry in vault.entries(lambda entry: entry.fields.get("predicateType") == PredicateType.PLAN):
        envelope = vault.store.read(entry.fields["key"])
        assert parse_plan_statement(envelope) is not None
        said.append(json.loads(base64.b64decode(json.loads(envelope)["payload"]))["predicate"])
    return said


def events(settings: Settings) -> list[tuple[str, str]]:
    return [(each["plan"], each["event"]) for each in told(settings)]


def go_round(settings: Settings, ledger: Any, plans: Sequence[Plan], **changes: Any) -> Telling:
    """As the watch does: account, then tell."""
    conductor = replace(paper_conductor(settings, ledger), **changes)
    account_slots(conductor, plans)
    return tell_plans(conductor, list(map(card_of, plans)))


def test_a_plan_is_told_when_it_is_enrolled_changed_retired_and_when_it_comes_back(
    settings: Settings, ledger: Ledger
) -> None:
    first, second = plan(), plan(owner="others", cadence={"cron": "0 3 * * 1", "grace": "1h"})
    assert go_round(settings, ledger, [first]) == Telling(("orders enrolled",))
    assert go_round(settings, ledger, [second]) == Telling(("orders changed",))
    assert go_round(settings, ledger, []) == Telling(("orders retired",))
    retired_at = ledger.standings()[0].retired_at
    assert go_round(settings, ledger, [second]) == Telling(("orders enrolled",))
    said = told(settings)
    assert [each["event"] for each in said] == ["enrolled", "changed", "retired", "enrolled"]
    assert [each["number"] for each in said] == [0, 1, 2, 3]
    assert datetime.fromisoformat(said[0]["at"]) == ledger.standings()[0].since
    assert datetime.fromisoformat(said[2]["at"]) == retired_at
    assert said[1]["at"] is said[3]["at"] is None
    assert [each["owner"] for each in said] == ["tests", "others", "others", "others"]
    assert said[0]["cadence"] == first.cadence.model_dump(mode="json")
    assert said[2]["cadence"] == second.cadence.model_dump(mode="json")
    assert said[0]["planDigest"] == {"sha256": first.digest}
    assert said[0]["controls"] == ["internal: drills"]
    assert [each["reason"] for each in said][1:3] == [
        "its cadence was changed",
        "its file is gone from the plans folder",
    ]


def test_what_is_told_is_not_told_again_in_three_rounds_nor_where_its_memory_was_lost(
    settings: Settings, ledger: Ledger
) -> None:
    plans = [plan("orders"), plan("billing")]
    for _ in range(3):
        go_round(settings, ledger, plans)
    assert sorted(events(settings)) == [("billing", "enrolled"), ("orders", "enrolled")]
    (settings.root / "log" / "plans.json").unlink()
    for _ in range(3):
        assert go_round(settings, ledger, plans) == Telling()
    assert len(events(settings)) == 2


def test_a_quiet_round_does_not_ask_the_store(settings: Settings, ledger: Ledger) -> None:
    def no_store() -> Any:
        raise AssertionError("nothing is to be told")

    go_round(settings, ledger, [plan()])
    assert go_round(settings, ledger, [plan()], open_store=no_store) == Telling()
    with pytest.raises(AssertionError):
        go_round(settings, ledger, [plan(), plan("billing")], open_store=no_store)


def test_a_store_that_is_away_holds_up_no_drill_and_is_made_up_for(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muster.notary.plans._WITH_ITS_RUN", timedelta())  # this run comes right after the enrolment

    def away() -> Any:
        raise StoreUnreachable("no answer")

    assert go_round(settings, ledger, [plan()], open_store=away) == Telling(problem="no answer")
    conductor = replace(paper_conductor(settings, ledger), open_store=away)
    assert conductor.conduct(plan(), Request("a test")).outcome is Outcome.PASSED
    assert go_round(settings, ledger, [], open_store=away) == Telling(problem="no answer")
    assert go_round(settings, ledger, []) == Telling(("orders enrolled", "orders retired"))
    first, last = told(settings)
    assert datetime.fromisoformat(first["at"]) < datetime.fromisoformat(last["at"])


def test_a_plan_that_left_no_trace_but_its_standing_is_not_made_up(settings: Settings, ledger: Ledger) -> None:
    def away() -> Any:
        raise StoreUnreachable("no answer")

    go_round(settings, ledger, [plan()], open_store=away)
    go_round(settings, ledger, [plan("billing")], open_store=away)
    assert go_round(settings, ledger, [plan("billing")]) == Telling(("billing enrolled",))
    assert events(settings) == [("billing", "enrolled")]


def test_a_ledger_that_is_lost_retires_nothing_and_enrols_nothing_twice(
    settings: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    go_round(settings, ledger, [plan(), plan("billing")])
    with open_ledger(f"sqlite:///{tmp_path / 'new.sqlite'}") as fresh:
        assert go_round(settings, fresh, [plan("billing")]) == Telling()
    assert sorted(events(settings)) == [("billing", "enrolled"), ("orders", "enrolled")]


def test_two_installations_that_see_two_files_do_not_tell_forever(
    settings: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    def elsewhere(owner: str) -> Telling:
        home = settings.model_copy(update={"home": tmp_path / owner, "signing_key": settings.key_file})
        return go_round(home, ledger, [plan(owner=owner)])

    rounds = [elsewhere(owner) for _ in range(4) for owner in ("one", "two")]
    assert [each.entered for each in rounds] == [("orders enrolled",), ("orders changed",), *[()] * 6]


def test_an_installation_that_hands_in_to_a_notary_apart_tells_nothing_itself(
    settings: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "evidence.yaml").write_text("notary: apart\n")
    apart = settings.model_copy(update={"plans": tmp_path / "plans"})
    assert go_round(apart, ledger, [plan()]) == Telling()
    assert bundles_of(settings) == []
    assert not Path(settings.store).exists()
    assert go_round(settings, ledger, [plan()]) == Telling(("orders enrolled",))


def test_a_policy_that_cannot_be_read_is_told_and_fails_nothing(
    settings: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "evidence.yaml").write_text("notary: nowhere\n")
    broken = settings.model_copy(update={"plans": tmp_path / "plans"})
    assert "notary" in go_round(broken, ledger, [plan()]).problem


def test_what_evidence_shall_not_show_is_withheld(settings: Settings, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "evidence.yaml").write_text("withhold: ['acme-[a-z]+']\n")
    shy = settings.model_copy(update={"plans": tmp_path / "plans"})
    freeze = {"from": "2026-12-20T00:00:00Z", "until": "2026-12-27T00:00:00Z", "reason": "acme-bank closes"}
    hidden = plan(owner="acme-team", cadence={"cron": "0 3 1 * *", "grace": "1h", "blackouts": [freeze]})
    assert go_round(shy, ledger, [hidden]).problem == ""
    (said,) = told(shy)
    assert "acme" not in json.dumps(said)
    assert said["owner"].startswith("withheld:sha256:")
    assert said["plan"] == "orders"
    for _ in range(2):
        assert go_round(shy, ledger, [hidden]) == Telling()


def test_a_plan_first_run_on_demand_is_not_said_to_count_since_that_run(settings: Settings, ledger: Ledger) -> None:
    undecided = paper_conductor(settings, ledger, paper_drill((paper_step("fold"),)))
    assert undecided.conduct(plan(), Request("a try")).outcome is Outcome.INCONCLUSIVE
    assert tell_plans(undecided, [card_of(plan())]) == Telling(), "it is not enrolled yet"
    assert go_round(settings, ledger, [plan()]) == Telling(("orders enrolled",))
    assert told(settings)[0]["at"] is None


def test_a_statement_that_was_changed_in_the_store_stops_the_telling_and_says_so(
    settings: Settings, ledger: Ledger
) -> None:
    go_round(settings, ledger, [plan()])
    (settings.root / "log" / "plans.json").unlink()
    (record,) = (Path(settings.store) / "records").glob("*.json")
    record.chmod(0o644)
    record.write_bytes(record.read_bytes().replace(b"sig", b"gis"))
    problem = go_round(settings, ledger, []).problem
    assert "does not hold the plan statement that entry 1" in problem
    assert events_logged(settings) == 1


def events_logged(settings: Settings) -> int:
    vault = Vault.open(DirectoryStore(Path(settings.store)), load_public(settings.public_key_file))
    return len(list(vault.entries(lambda entry: entry.fields.get("predicateType") == PredicateType.PLAN)))


def test_a_memory_that_is_broken_or_of_another_store_is_none(settings: Settings, ledger: Ledger) -> None:
    go_round(settings, ledger, [plan()])
    path = settings.root / "log" / "plans.json"
    place = Memory.read(path, json.loads(path.read_bytes())["place"])
    assert list(place.last) == ["orders"]
    assert Memory.read(path, "another") == Memory("another")
    for content in (b"", b"{}", b"[]", path.read_bytes()[:-20], path.read_bytes().replace(b"enrolled", b"dreamed-")):
        path.write_bytes(content)
        assert Memory.read(path, place.place) == Memory(place.place)
        assert go_round(settings, ledger, [plan()]) == Telling()


# --- Crashes, and others beside us ------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for SIGKILL."""


class Dying:
    """A store whose process is killed before or after its n-th write, or that is away from then on."""

    def __init__(
        self,
        store: DirectoryStore,
        at: int,
        *,
        after: bool,
        death: BaseException = Killed(),  # noqa: B008
    ) -> None:
        self._store, self._left, self._after, self._death = store, at, after, death

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put_bytes(self, key: str, content: bytes) -> Any:
        self._left -= 1
        if self._left <= 0 and not self._after:
            raise self._death
        done = self._store.put_bytes(key, content)
        if self._left <= 0:
            raise self._death
        return done


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_write_between_ledger_and_log_it_is_made_up_for_once(
    settings: Settings, ledger: Ledger, tmp_path: Path, after: bool
) -> None:
    account_slots(paper_conductor(settings, ledger), [plan(), plan("billing")])
    account_slots(paper_conductor(settings, ledger), [plan()])
    deaths = 0
    for at in range(1, 16):
        home = settings.model_copy(update={"home": tmp_path / f"home{at}", "store": str(tmp_path / f"store{at}")})
        conductor = paper_conductor(home, ledger)
        store = Dying(DirectoryStore(Path(home.store)), at, after=after)
        try:
            tell_plans(replace(conductor, open_store=cast("Any", lambda s=store: s)), [card_of(plan())])
        except Killed:
            deaths += 1
        for _ in range(3):
            assert tell_plans(conductor, [card_of(plan())]).problem == ""
        assert events(home) == [("orders", "enrolled")], at
    assert deaths > 8


class World:
    """Two installations with one ledger and one store, and one plan, whose file may be there or not."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.folder, self.ledger = folder, ledger
        self.file: Plan | None = plan(owner="0")
        self.changes = 0
        shared = {"store": str(folder / "store"), "signing_key": folder / "key.pem"}
        self.homes = [Settings(home=folder / name, **shared) for name in ("one", "two")]

    def step(self, name: str, number: int) -> None:
        match name:
            case "come":
                self.file = plan(owner=str(self.changes))
            case "go":
                self.file = None
            case "change":
                self.changes += 1
                self.file = plan(owner=str(self.changes))
            case "away":
                self.tell(
                    store=Dying(DirectoryStore(self.folder / "store"), 1, after=False, death=StoreUnreachable(""))
                )
            case "kill":
                with suppress(Killed):
                    self.tell(store=Dying(DirectoryStore(self.folder / "store"), number + 1, after=True))
            case "forget":
                (self.homes[0].root / "log" / "plans.json").unlink(missing_ok=True)
            case _:
                self.tell(name == "other")

    def tell(self, home: int = 0, store: Any = None) -> Telling:
        changes = {"open_store": lambda: store} if store else {}
        return go_round(self.homes[home], self.ledger, [self.file] if self.file else [], **changes)


@examples(max_examples=25, deadline=None)
@example(["go", "kill", "come"])
@given(st.lists(st.sampled_from(["come", "go", "change", "away", "kill", "forget", "other", "round"]), max_size=14))
def test_whatever_happens_the_log_tells_each_state_once(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, open_ledger(f"sqlite:///{folder}/ledger.sqlite") as ledger:
        world = World(Path(folder), ledger)
        world.tell()
        for number, name in enumerate(steps):
            world.step(name, number)
        assert world.tell().problem == ""
        said = told(world.homes[0])
        world.step("forget", 0)
        assert [world.tell(), world.tell(1), world.tell()] == [Telling()] * 3
        assert told(world.homes[0]) == said
        assert [each["number"] for each in said] == list(range(len(said)))
        states = [(each["event"] == "retired", each["planDigest"]["sha256"]) for each in said]
        assert all(one != two for one, two in pairwise(states)), states
        assert states[-1][0] == (world.file is None)
        assert world.file is None or states[-1][1] == world.file.digest


# --- What a statement is ----------------------------------------------------------------------------------------------


def test_a_statement_in_another_form_is_none(settings: Settings, ledger: Ledger) -> None:
    from evidence.envelope import sign
    from evidence.keys import load_signer
    from evidence.statement import statement

    go_round(settings, ledger, [plan()])
    (said,) = told(settings)
    signer, subjects = load_signer(settings.key_file), {"orders.yaml": said["planDigest"]["sha256"]}

    def parsed(predicate: dict[str, Any], names: dict[str, str] = subjects) -> Any:
        return parse_plan_statement(sign(statement(names, predicate, PredicateType.PLAN), signer))

    assert parsed(said) is not None
    wrong: list[dict[str, Any]] = [
        {"event": "dreamed"}, {"number": True}, {"number": "0"}, {"plan": 1}, {"at": "soon"}, {"at": 5},
        {"at": "2026-11-26T05:00:00"}, {"planDigest": "0" * 64}, {"controls": "all"}, {"controls": [1]},
        {"cadence": None}, {"owner": None}, {"more": 1}, {"previous": 1},
    ]  # fmt: skip
    for change in wrong:
        assert parsed(said | change) is None, change
    assert parsed(said, {"orders.yaml": "0" * 64}) is None
    assert parsed({name: value for name, value in said.items() if name != "by"}) is None


def test_a_chain_begins_with_an_enrolment_and_goes_on_by_number_and_digest(settings: Settings, ledger: Ledger) -> None:
    go_round(settings, ledger, [plan()])
    path = settings.root / "log" / "plans.json"
    first = Memory.read(path, json.loads(path.read_bytes())["place"]).last["orders"]
    one = first.said
    assert follows(one, None, None)
    assert not follows(replace(one, event=PlanEvent.RETIRED), None, None)
    assert not follows(replace(one, number=1), None, None)
    gone = replace(one, event=PlanEvent.RETIRED, number=1, previous=first.envelope)
    assert follows(gone, first.envelope, one)
    assert not follows(replace(gone, previous="0" * 64), first.envelope, one)
    assert not follows(replace(gone, event=PlanEvent.ENROLLED), first.envelope, one)
    back = replace(one, number=2, previous="1" * 64)
    assert follows(back, "1" * 64, gone)
    assert not follows(replace(back, event=PlanEvent.CHANGED), "1" * 64, gone)


# --- The commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def commanded(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """An installation for commands, with a folder of plans."""
    for name in [name for name in os.environ if name.startswith("MUSTER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MUSTER_HOME", str(settings.home))
    monkeypatch.setenv("MUSTER_STORE", settings.store)
    monkeypatch.setenv("MUSTER_PLANS", str(tmp_path / "plans"))
    (tmp_path / "plans").mkdir()
    raw = plan().model_dump(mode="json", exclude_none=True)
    (tmp_path / "plans" / "orders.yaml").write_text(yaml.safe_dump(raw))
    return settings.model_copy(update={"plans": tmp_path / "plans"})


def test_accounting_and_watching_tell_the_log_and_a_package_says_whence_it_knows(
    commanded: Settings, tmp_path: Path
) -> None:
    assert invoke(["account"]) == 0
    assert events(commanded) == [("orders", "enrolled")]
    (commanded.plans / "orders.yaml").unlink()
    Watcher(commanded, Shelf(commanded.plans)).go_round()
    assert events(commanded) == [("orders", "enrolled"), ("orders", "retired")]
    assert invoke(["evidence", "package", "--release", "v1", "--output", str(tmp_path / "out")]) == 0
    (package,) = (tmp_path / "out").glob("*.tar.gz")
    report = verify(package, commanded.public_key_file)
    assert report.verdict == "pass", report.proofs
    with tarfile.open(package) as archive:
        population = json.load(cast("Any", archive.extractfile("v1/data/population.json")))
    (told_of,) = population["plans"]
    assert (told_of["sinceKnownBy"], told_of["retiredKnownBy"]) == ("log", "log")


def test_a_package_makes_up_for_what_nobody_told(commanded: Settings, ledger: Ledger, tmp_path: Path) -> None:
    account_slots(paper_conductor(commanded, ledger), [plan()])
    assert invoke(["evidence", "package", "--release", "v1", "--output", str(tmp_path / "out")]) == 0
    assert events(commanded) == [("orders", "enrolled")]


def test_a_watch_whose_store_is_away_watches_on_and_does_not_ask_at_once_again(
    commanded: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def away(_settings: Settings, _credentials: object = None) -> Any:
        asked.append("")
        raise StoreUnreachable("no answer")

    monkeypatch.setattr("flows.registry.store_of", away)
    watcher = Watcher(commanded, Shelf(commanded.plans))
    watcher.go_round_come_what_may()
    watcher.go_round_come_what_may()
    assert capsys.readouterr().err.count("plans could not be told to the log, and are later: no answer") == 1
    assert len(asked) == 1
    monkeypatch.undo()
    watcher.tell_plans_from = 0
    watcher.go_round_come_what_may()
    assert watcher.plans_fault == ""
    assert events(commanded) == [("orders", "enrolled")]


def test_a_notary_apart_that_shares_the_ledger_tells_it_of_the_runners_plans(
    commanded: Settings, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_slots(paper_conductor(commanded, ledger), [plan()])
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "notary"))
    assert invoke(["notary", "--once"]) == 0
    notary = commanded.model_copy(update={"home": tmp_path / "notary"})
    assert events(notary) == []
    monkeypatch.setenv("MUSTER_LEDGER", commanded.ledger_url)
    assert invoke(["notary", "--once"]) == 0
    assert events(notary) == [("orders", "enrolled")]
