"""Routes as people write them: what loads, what is refused and how it is said, and where a message goes."""

from pathlib import Path

import pytest
import yaml

from muster.cards import PlanCard, card_of
from muster.errors import UsageError
from muster.notify.message import Severity
from muster.notify.routes import Routes, check_plan_routes, load_routes
from muster.plan import Plan

HOOK = {"name": "ops", "webhook": "https://hooks.example.com/in", "secret_env": "HOOK_SECRET"}
CHAT = {"name": "chat", "apprise_env": "CHAT_URL"}


def card(name: str = "restore-shop", environment: str = "test", notifications: tuple[str, ...] = ()) -> PlanCard:
    plan = {"name": name, "kind": "restore", "environment": environment, "owner": "tests", "restore": {}}
    return card_of(Plan.model_validate({**plan, "target": {"type": "paper"}, "notifications": notifications}))


def load(tmp_path: Path, *routes: object) -> Routes:
    (tmp_path / "routes.yaml").write_text(yaml.safe_dump({"routes": list(routes)}))
    return load_routes(tmp_path)


def names(routes: Routes, severity: Severity, about: PlanCard | None = None) -> list[str]:
    return [route.name for route in routes.of(severity, about)]


def test_without_a_file_there_are_no_routes(tmp_path: Path) -> None:
    assert load_routes(tmp_path).all == ()


def test_what_is_shipped_loads_and_its_comments_do_too(tmp_path: Path) -> None:
    shipped = Path("deployments/routes.yaml")
    assert load_routes(shipped.parent).all == ()
    lines = [line.removeprefix("#").removeprefix(" ") for line in shipped.read_text().splitlines()]
    example = lines[lines.index("routes:") : lines.index("routes: []")]
    (tmp_path / "routes.yaml").write_text("\n".join(example))
    assert [route.name for route in load_routes(tmp_path).all] == ["on-call", "platform", "incidents"]


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ({**HOOK, "secrets_env": "X"}, "secrets_env"),
        ({"name": "ops"}, "one of them"),
        ({**HOOK, **CHAT}, "one of them"),
        ({"name": "ops", "webhook": "https://hooks.example.com"}, "go together"),
        ({**CHAT, "secret_env": "X"}, "go together"),
        ({**HOOK, "webhook": "ftp://hooks.example.com"}, "https://"),
        ({**HOOK, "webhook": "https://me:hunter2@hooks.example.com"}, "secret_env"),
        ({**CHAT, "apprise_env": "slack://hunter2/b/c"}, "apprise_env"),
        ({**CHAT, "apprise_env": "MUSTER_CHAT"}, "settings"),
        ({**CHAT, "severities": ["dire"]}, "critical"),
        ({**CHAT, "severities": []}, "severities"),
        ({**CHAT, "kinds": ["retsore"]}, "retsore"),
        ({**CHAT, "environments": ["prod"]}, "production"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_and_no_secret_repeated(tmp_path: Path, route: object, said: str) -> None:
    with pytest.raises(UsageError, match=r"routes\.yaml") as caught:
        load(tmp_path, route)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_two_routes_of_one_name_and_other_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two routes are named chat"):
        load(tmp_path, CHAT, CHAT)
    (tmp_path / "routes.yaml").write_text("route: []\n")
    with pytest.raises(UsageError, match="route: there is no such key"):
        load_routes(tmp_path)


def test_a_message_goes_where_severity_plan_kind_and_environment_fit(tmp_path: Path) -> None:
    routes = load(
        tmp_path,
        {**CHAT, "name": "all"},
        {**CHAT, "name": "grave", "severities": ["critical"]},
        {**CHAT, "name": "shop", "plans": ["*-shop"]},
        {**CHAT, "name": "live", "environments": ["staging"], "kinds": ["restore"]},
    )
    assert names(routes, Severity.CRITICAL, card()) == ["all", "grave", "shop"]
    assert names(routes, Severity.INFO, card("restore-crm", "staging")) == ["all", "live"]
    assert names(routes, Severity.CRITICAL) == ["all", "grave", "shop", "live"], "of no plan: everyone's"
    assert names(routes, Severity.WARNING) == ["all", "shop", "live"]


def test_a_plan_may_name_its_routes(tmp_path: Path) -> None:
    routes = load(tmp_path, {**CHAT, "name": "all"}, {**CHAT, "name": "mine", "plans": ["other"]})
    assert names(routes, Severity.INFO, card(notifications=("mine",))) == ["mine"]
    lost = card(notifications=("mnie",))
    assert names(routes, Severity.INFO, lost) == ["all"], "a typo must not mean that nobody is told"
    assert check_plan_routes([card(), card(notifications=("mine",))], routes) == ()
    assert check_plan_routes([lost], routes) == (
        "plan restore-shop names route 'mnie', which is not in routes.yaml",
    )  # fmt: skip
