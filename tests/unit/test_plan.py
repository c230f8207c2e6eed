"""Plans: strict files, whole plans, digests that tell any two apart, quantities as people write them."""

from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from muster.cadence.defaults import DEFAULTS
from muster.cards import card_of
from muster.errors import UsageError
from muster.plan import KINDS, Plan, find_plan, load_plan, load_plans
from muster.quantity import Duration, format_bytes, format_seconds, parse_duration
from muster.restore.spec import RestoreSpec

PLAN: dict[str, Any] = {
    "name": "orders-weekly",
    "kind": "restore",
    "environment": "demo",
    "owner": "dba@example.org",
    "controls": ["ISO 27001 A.8.13"],
    "target": {"type": "embedded", "port": 5432},
    "objectives": {"rto": "15m", "rpo": "5m"},
    "restore": {"backup": "latest", "canary": {"table": "canary"}, "sql": [{"name": "n", "sql": "x", "at_least": 1}]},
}


def _with(path: str, value: Any) -> dict[str, Any]:
    """The plan with one key set, or taken away by `...`."""
    changed = deepcopy(PLAN)
    *parents, last = path.split(".")
    inner = changed
    for parent in parents:
        inner = inner[parent]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return changed


def _write(folder: Path, raw: Any, name: str = "orders-weekly") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(raw if isinstance(raw, str) else yaml.safe_dump(raw))
    return path


def test_whole_plan_loads(tmp_path: Path) -> None:
    plan = load_plan(_write(tmp_path, PLAN))
    assert plan.objectives.rto == timedelta(minutes=15)
    assert plan.restore is not None
    assert plan.restore.backup.choose == "latest"
    assert plan.restore.canary is not None
    assert plan.restore.canary.interval == timedelta(seconds=1)
    assert plan.target == {"type": "embedded", "port": 5432}


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("schedlue", "daily", "schedlue"),
        ("objectives.rtp", "1m", "objectives.rtp"),
        ("restore.canary.tabel", "c", "restore.canary.tabel"),
        ("restore.integrity", {"amchek": True}, "restore.integrity.amchek"),
        ("owner", ..., "owner"),
        ("restore", ..., "needs a section 'restore'"),
        ("target.type", ..., "target needs a key 'type'"),
        ("kind", "restroe", "'restroe' is unknown"),
        ("environment", "prod", "environment"),
        ("name", "Orders Weekly", "name"),
        ("name", "../escape", "name"),
        ("objectives.rto", "15 minutes", "90s or 7d"),
        ("objectives.rto", "99999999999999d", "objectives.rto"),
        ("restore.volume_drop", 5, "restore.volume_drop"),
        ("restore.sql", [{"name": "n", "sql": "x"}], "needs a comparison"),
        ("cadence", {"cron": "0 3 L * *"}, "cadence.cron"),
        ("cadence", {"cron": "0 3 * * *", "grcae": "1h"}, "cadence.grcae"),
        ("cadence", {"cron": "0 3 * * *", "grace": "25h"}, "cadence: 'grace' has to end"),
        ("approval", {"from": ["lead"]}, "approval.from"),
        ("approval", {"within": "0s"}, "approval.within"),
        ("notifications", ["Pager Duty"], "notifications.0"),
        ("concurrency", "one of a kind", "concurrency"),
        ("time_limit", "0s", "time_limit"),
        ("environment", "production", "needs 'approval' and change windows"),
        ("controls", ["A.8.13"], "controls: 'A.8.13' is no control that Muster knows: did you mean ISO 27001 A.8.13"),
        ("controls", ["DORA Art. 26(1)"], "controls: DORA Art. 26(1) asks: threat-led penetration tests every 3 years"),
        ("controls", ["DORA Art. 24(4)"], "needs 'approval'"),
        ("name", "proofs", "is taken: the store keeps other evidence"),
    ],
)
def test_fault_in_a_plan_is_named_with_its_file_and_key(tmp_path: Path, path: str, value: Any, named: str) -> None:
    file = _write(tmp_path, _with(path, value))
    with pytest.raises(UsageError) as caught:
        load_plan(file)
    assert str(file) in caught.value.message
    assert named in caught.value.message
    assert caught.value.advice


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)owner.*environment|environment.*owner"):
        load_plan(_write(tmp_path, {**_with("owner", ...), "environment": "prod"}))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name: a\nname: b\n", "'name' stands twice"),
        ("target: {type: a, type: b}\n", "'type' stands twice"),
        ("name: [unclosed\n", "no valid YAML"),
        ("", "name: it is missing"),
        ("just words", "plan"),
        ("name: !!python/object/apply:os.system ['true']\n", "no valid YAML"),
    ],
)
def test_broken_file_is_wrong_usage(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        load_plan(_write(tmp_path, text))


def test_file_that_cannot_be_read_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no plan file"):
        load_plan(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="cannot be read"):
        load_plan(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff")
    with pytest.raises(UsageError, match="cannot be read"):
        load_plan(tmp_path / "latin.yaml")


def test_plan_is_found_by_name_or_path_and_bears_its_files_name(tmp_path: Path) -> None:
    file = _write(tmp_path, PLAN)
    assert find_plan(tmp_path, "orders-weekly") == find_plan(Path("/nowhere"), str(file)) == load_plan(file)
    _write(tmp_path, PLAN, name="other")
    with pytest.raises(UsageError, match=r"name the file orders-weekly\.yaml"):
        find_plan(tmp_path, "other")


def test_folder_of_plans_loads_whole_or_not_at_all(tmp_path: Path) -> None:
    assert load_plans(tmp_path) == ()
    for name in ("b-plan", "a-plan"):
        _write(tmp_path, _with("name", name), name)
    assert [plan.name for plan in load_plans(tmp_path)] == ["a-plan", "b-plan"]
    _write(tmp_path, "name: [", "c-plan")
    with pytest.raises(UsageError, match="c-plan"):
        load_plans(tmp_path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("description", "new"),
        ("target.port", 5433),
        ("controls", ["ISO 27001 A.8.13", "ISO 27001 A.5.30"]),
        ("cadence", {"cron": "0 4 * * *"}),
        ("approval", {"by": ["lead"]}),
        ("notifications", ["pager"]),
        ("concurrency", "shop"),
        ("objectives.rpo", ...),
        ("objectives.rto", "899.999999s"),
        ("restore.backup", {"choose": "random", "within": "30d"}),
        ("restore.canary", ...),
    ],
)
def test_digest_tells_a_changed_plan(path: str, value: Any) -> None:
    plan, changed = Plan.model_validate(PLAN), Plan.model_validate(_with(path, value))
    assert plan.digest != changed.digest


@given(st.integers(0, 10**15), st.integers(0, 10**7))
def test_digests_are_equal_exactly_if_durations_are(microseconds: int, more: int) -> None:
    durations = (timedelta(microseconds=microseconds), timedelta(microseconds=microseconds + more))
    one, other = (Plan.model_validate(_with("objectives.rto", duration)).digest for duration in durations)
    assert (one == other) == (more == 0)


def test_digest_is_of_the_meaning_not_of_the_spelling() -> None:
    spelled_otherwise = dict(reversed(_with("objectives.rto", "900s").items()))
    spelled_otherwise["restore"] = {**spelled_otherwise["restore"], "backup": {"choose": "latest"}}
    assert Plan.model_validate(spelled_otherwise).digest == Plan.model_validate(PLAN).digest


# --- quantities -------------------------------------------------------------------------------------------------

_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("24h", 86400), ("7d", 604800), ("1.5h", 5400), (" 2 m ", 120)]
)
def test_duration_reads_as_people_write_it(text: str, seconds: float) -> None:
    assert _DURATION.validate_python(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "90", "s", "-5s", "1h30m", "1e3s", "PT15M", "1:30", "7w", "99999999999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        _DURATION.validate_python(text)


@given(st.integers(0, 10**17))
def test_duration_is_written_so_that_it_reads_back(microseconds: int) -> None:
    duration = timedelta(microseconds=microseconds)
    assert parse_duration(_DURATION.dump_python(duration, mode="json")) == duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.421, "0.42 s"),
        (7.31, "7.3 s"),
        (119.94, "119.9 s"),
        (725, "12 m 05 s"),
        (11400, "3 h 10 m"),
        (7199.6, "2 h 00 m"),
        (270000, "3 d 03 h"),
    ],
)
def test_seconds_read_as_people_say_them(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1024, "1.0 KiB"),
        (1.5 * 2**30, "1.5 GiB"),
        (2**40, "1.0 TiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_bytes_read_as_people_say_them(count: float, text: str) -> None:
    assert format_bytes(count) == text


# --- cadence, guards, controls ----------------------------------------------------------------------------------

WINDOW = {"from": "22:00", "until": "06:00"}
GUARDED = {"cadence": {"cron": "0 3 * * *", "windows": [WINDOW]}, "approval": {"by": ["lead"]}}


def test_a_plan_without_a_cadence_is_due_as_its_kind_is() -> None:
    assert Plan.model_validate(PLAN).cadence == DEFAULTS["restore"]
    assert Plan.model_validate({**PLAN, "cadence": None}).cadence == DEFAULTS["restore"]


@pytest.mark.parametrize("missing", ["approval", "cadence", "cadence.windows"])
def test_a_drill_in_production_is_guarded(missing: str) -> None:
    production = {**PLAN, "environment": "production", **deepcopy(GUARDED)}
    assert Plan.model_validate(production).approval is not None
    key, _, inner = missing.partition(".")
    del (production[key] if inner else production)[inner or key]
    with pytest.raises(ValidationError, match=r"'approval' and change windows \('cadence\.windows'\)"):
        Plan.model_validate(production)


def test_a_slot_outside_the_windows_is_named() -> None:
    windows = [{**WINDOW, "days": ["sun", "mon", "tue", "wed", "thu"]}]
    cadence = {"cron": "0 23 * * *", "timezone": "Europe/Berlin", "windows": windows}
    with pytest.raises(ValidationError, match=r"a slot such as Friday 2020-01-03 23:00 CET does not lie"):
        Plan.model_validate({**PLAN, "cadence": cadence})
    assert Plan.model_validate({**PLAN, "cadence": {**cadence, "cron": "0 23 * * 0-4"}})


def test_a_plan_slower_than_a_control_quotes_it() -> None:
    slow = {**PLAN, "controls": ["DORA Art. 11(6)(a)"], "cadence": {"interval": "400d"}}
    quoted = r'"at least yearly, as well as in the event of any substantive changes" \(Regulation \(EU\) 2022/2554\)'
    with pytest.raises(ValidationError, match=quoted):
        Plan.model_validate(slow)
    assert Plan.model_validate({**slow, "cadence": {"interval": "366d"}})
    assert Plan.model_validate({**slow, "controls": ["internal: BCP-7"]})


def test_a_plan_on_record_is_read_whatever_rules_came_later() -> None:
    """Else nobody could undo what its run left behind."""
    old = {**PLAN, "environment": "production", "controls": ["SOC2"]}
    with pytest.raises(ValidationError):
        Plan.model_validate(old)
    assert Plan.recorded(old).controls == ("SOC2",)
    with pytest.raises(ValidationError):
        Plan.recorded({**old, "kind": "restroe"})


_SAME_SUBSTANCE: dict[str, Any] = {
    "name": "orders", "owner": "another team", "description": "other words", "controls": ["NIST CP-9(1)"],
    "cadence": {"interval": "12h"}, "approval": {"within": "1h"}, "notifications": ["pager"], "concurrency": "one",
    "time_limit": "2h",
}  # fmt: skip
_OTHER_SUBSTANCE: dict[str, Any] = {
    "environment": "test", "target": {"type": "embedded", "port": 5433}, "objectives": {"rto": "15m"},
    "restore": {"backup": "latest"},
}  # fmt: skip


@pytest.mark.parametrize("key", [*_SAME_SUBSTANCE, *_OTHER_SUBSTANCE])
def test_substance_is_what_is_drilled_and_promised(key: str) -> None:
    plan, changed = Plan.model_validate(PLAN), Plan.model_validate({**PLAN, **_SAME_SUBSTANCE, **_OTHER_SUBSTANCE})
    edited = plan.model_copy(update={key: getattr(changed, key)})
    assert edited.digest != plan.digest
    assert (edited.substance == plan.substance) == (key in _SAME_SUBSTANCE)


def test_every_key_of_a_plan_is_of_its_substance_or_not() -> None:
    """A key that is added has to be thought about here."""
    assert {*_SAME_SUBSTANCE, *_OTHER_SUBSTANCE, "kind", *KINDS} == set(Plan.model_fields)


def test_a_section_of_another_kind_is_an_error() -> None:
    with pytest.raises(ValidationError, match="a plan of kind 'restore' has no section 'failover'"):
        Plan.model_validate({**PLAN, "failover": {"scenario": "kill"}})


_CADENCES = st.one_of(
    st.integers(1, 60).map(lambda days: {"interval": f"{days}d"}),
    st.tuples(st.integers(0, 59), st.integers(4, 23)).map(
        lambda at: {
            "cron": f"{at[0]} {at[1]} * * *",
            "timezone": "Europe/Berlin",
            "windows": [{"from": "00:00", "until": "00:00"}],
            "blackouts": [{"from": "2026-12-20T00:00:00Z", "until": "2026-12-27T00:00:00+01:00", "reason": "freeze"}],
        }
    ),
)


@given(_CADENCES, st.integers(1, 10**6), st.sampled_from(["test", "demo"]))
def test_a_plan_is_read_back_from_its_json(cadence: dict[str, Any], rto: int, environment: str) -> None:
    plan = Plan.model_validate({**_with("objectives.rto", f"{rto}s"), "cadence": cadence, "environment": environment})
    for again in (Plan.model_validate_json(plan.model_dump_json()), Plan.recorded(plan.model_dump(mode="json"))):
        assert again == plan
        assert (again.digest, again.substance, again.group) == (plan.digest, plan.substance, plan.group)


def test_plans_of_one_target_are_one_group_unless_they_say_otherwise() -> None:
    one, other = Plan.model_validate(PLAN), Plan.model_validate({**PLAN, "name": "orders", "owner": "me"})
    assert one.group == other.group
    assert Plan.model_validate(_with("target.port", 5433)).group != one.group
    assert Plan.model_validate({**PLAN, "concurrency": "shop"}).group == "shop"


def test_a_card_says_what_its_plan_says() -> None:
    plan = Plan.model_validate({**PLAN, **GUARDED})
    card = card_of(plan, "deployments/orders-weekly.yaml")
    assert card.cadence() == plan.cadence
    assert (card.digest, card.substance, card.timetable) == (plan.digest, plan.substance, plan.cadence.timetable)
    assert (card.cadence_words, card.interval_seconds) == ("daily at 03:00 UTC", 86400)
    assert (card.rto_seconds, card.rpo_seconds, card.target_type) == (900, 300, "embedded")
    assert card_of(Plan.model_validate(_with("objectives", {}))).rto_seconds is None


# --- the restore section ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"backup": "latest", "recovery": "end"},
        {"backup": {"choose": "latest", "within": "7d"}},
        {"backup": {"choose": "random", "within": "30d", "seed": 7}},
        {"backup": {"choose": "named", "name": "20260301-040000F"}},
        {"recovery": {"to": "time", "time": "2026-03-01T04:00:00Z"}},
        {"recovery": {"to": "lsn", "lsn": "16/B374D848"}},
        {"recovery": {"to": "name", "name": "before-release"}},
        {"sql": [{"name": "n", "sql": "select true", "equals": True}]},
    ],
)
def test_coherent_restore_section_is_taken(raw: dict[str, Any]) -> None:
    spec = RestoreSpec.model_validate(raw)
    assert RestoreSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        ({"backup": "named"}, "'name' goes with choose: named"),
        ({"backup": {"name": "x"}}, "'name' goes with choose: named"),
        ({"backup": "random"}, "needs 'within'"),
        ({"backup": {"seed": 7}}, "'seed' goes with choose: random"),
        ({"backup": "newest"}, "'latest', 'random' or 'named'"),
        ({"recovery": "time"}, "'time' goes with to: time"),
        ({"recovery": {"to": "end", "name": "x"}}, "'name' goes with to: name"),
        ({"recovery": {"to": "lsn", "lsn": "16-B374D848"}}, "lsn"),
        ({"recovery": {"to": "time", "time": "2026-03-01T04:00:00"}}, "offset from UTC"),
        ({"volume_drop": -0.1}, "volume_drop"),
        ({"integrity": {"amcheck": "maybe"}}, "amcheck"),
        ("latest", "RestoreSpec"),
    ],
)
def test_incoherent_restore_section_is_refused(raw: Any, fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        RestoreSpec.model_validate(raw)


@pytest.mark.parametrize("answer", [True, 1, "1", 0, False, ""])
def test_expected_answer_keeps_its_kind(answer: Any) -> None:
    (check,) = RestoreSpec.model_validate({"sql": [{"name": "n", "sql": "x", "equals": answer}]}).sql
    assert check.equals == answer
    assert type(check.equals) is type(answer)
