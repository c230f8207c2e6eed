"""The gate's policy is strict: a typo is an error that names it."""

import re
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from muster.errors import UsageError
from muster.gate.policy import Effect, GatePolicy, Match, Rule, Source, load_policy
from muster.plan import Environment
from muster.verdict import Outcome

POLICY: dict[str, Any] = {
    "source": {"max_age": "30m", "watch": "warn"},
    "troubles": "warn",
    "unmatched": "ignore",
    "uncovered": {"failover": "warn"},
    "rules": [
        {
            "name": "all",
            "match": {"plans": ["orders-*"], "kinds": ["restore"], "environments": ["demo"], "controls": ["DORA*"]},
            "block_on": ["failing"],
            "warn_on": ["due"],
            "outcomes": {"missed": "warn"},
            "max_age": "40d",
            "warn_age": "31d",
            "proven_within": "90d",
        }
    ],
}


def write(tmp_path: Path, raw: Any) -> Path:
    path = tmp_path / "gate.yaml"
    path.write_text(raw if isinstance(raw, str) else yaml.safe_dump(raw))
    return path


def _with(path: str, value: Any) -> dict[str, Any]:
    changed: Any = deepcopy(POLICY)
    *parents, last = path.split(".")
    inner = changed
    for parent in parents:
        inner = inner[int(parent)] if parent.isdigit() else inner[parent]
    inner[last] = value
    return changed


def test_a_whole_policy_loads(tmp_path: Path) -> None:
    policy = load_policy(write(tmp_path, POLICY))
    assert policy.source.max_age == timedelta(minutes=30)
    assert policy.rules[0].outcomes == {Outcome.MISSED: Effect.WARN}
    assert policy.rules[0].max_age == timedelta(days=40)


def test_what_a_policy_does_not_say_is_strict(tmp_path: Path) -> None:
    policy = load_policy(write(tmp_path, {"rules": [{"name": "all", "block_on": ["failing"]}]}))
    assert (policy.source.watch, policy.troubles, policy.unmatched) == (Effect.BLOCK, Effect.BLOCK, Effect.WARN)
    assert policy.source.max_age == timedelta(minutes=30)
    assert policy.rules[0].match == Match()


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("rule", [], "rule: there is no such key"),
        ("source.maxage", "30m", "source.maxage"),
        ("source.max_age", "30 minutes", "source.max_age"),
        ("source.max_age", "0s", "longer than nothing"),
        ("source.watch", "blok", "source.watch"),
        ("troubles", True, "troubles"),
        ("uncovered", {"failovr": "warn"}, "'failovr' is no kind"),
        ("rules", [], "rules"),
        ("rules.0.blok_on", ["failing"], "blok_on"),
        ("rules.0.block_on", ["failling"], "rules.0.block_on.0"),
        ("rules.0.block_on", ["due"], "due is in 'block_on' and in 'warn_on'"),
        ("rules.0.outcomes", {"mised": "warn"}, "mised"),
        ("rules.0.outcomes", {"missed": "blok"}, "outcomes.missed"),
        ("rules.0.match.plan", ["x"], "match.plan"),
        ("rules.0.match.plans", "orders-*", r"write a list: [orders-*]"),
        ("rules.0.match.kinds", ["restroe"], "'restroe' is no kind"),
        ("rules.0.match.environments", ["prod"], "match.environments.0"),
        ("rules.0.warn_age", "40d", "shorter than 'max_age'"),
        ("rules.0", {"name": "nothing"}, "asks for nothing"),
        ("rules.0", {"name": "", "block_on": ["due"]}, "rules.0.name"),
    ],
)
def test_a_fault_in_a_policy_is_named(tmp_path: Path, path: str, value: Any, named: str) -> None:
    if path == "rules.0":
        raw: Any = POLICY | {"rules": [value]}
    else:
        raw = _with(path, value)
    with pytest.raises(UsageError) as error:
        load_policy(write(tmp_path, raw))
    assert named in error.value.message
    assert "gate.yaml" in error.value.message


def test_two_rules_of_one_name_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two rules are named all"):
        load_policy(write(tmp_path, POLICY | {"rules": POLICY["rules"] * 2}))


@pytest.mark.parametrize("raw", ["rules: [", "rules: []\nrules: []", "[]", "", "\x00"])
def test_what_is_no_policy_is_an_error(tmp_path: Path, raw: str) -> None:
    with pytest.raises(UsageError, match=r"gate\.yaml"):
        load_policy(write(tmp_path, raw))


def test_a_policy_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no policy"):
        load_policy(tmp_path / "gate.yaml")
    with pytest.raises(UsageError, match="cannot be read"):
        load_policy(tmp_path)


def test_environments_are_those_of_plans() -> None:
    known = get_args(get_args(Match.model_fields["environments"].annotation)[0])
    assert set(known) == {environment.value for environment in Environment}


def test_the_shipped_policy_loads() -> None:
    assert load_policy(Path("deployments/gate.yaml")).rules


PAGE = Path("docs/gate.md").read_text()


@pytest.mark.parametrize("model", [GatePolicy, Source, Rule, Match])
def test_every_key_is_documented(model: type[GatePolicy | Source | Rule | Match]) -> None:
    assert [key for key in model.model_fields if f"`{key}`" not in PAGE] == []


def test_the_policies_on_the_page_load(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        assert load_policy(write(tmp_path, block)).rules
