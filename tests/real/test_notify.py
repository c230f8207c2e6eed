"""Messages to real receivers on loopback: signed webhooks, Apprise's own, mail; and routes that refuse."""

import base64
import json
import logging
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from muster.notify.message import Event, Message, Severity
from muster.notify.refusal import Patience
from muster.notify.routes import Route, Routes
from muster.notify.send import MANY, Notifier
from tests.real.receivers import SECRET, is_signed, mail_server, receiver

MUSTER = Path(sys.executable).parent / "muster"
SHORT = Patience(answer=0.5, attempts=2, all=5)
AT = datetime(2026, 3, 1, 3, tzinfo=UTC)


def message(subject: str = "restore-shop", severity: Severity = Severity.WARNING) -> Message:
    title, body = f"{subject} is overdue", "why: no run since its slot was due\ndo: muster run restore-shop"
    return Message(Event.RAISED, subject, "overdue", severity, title, body, AT, AT)


def hook(name: str, url: str) -> Route:
    return Route(name=name, webhook=url, secret_env="HOOK_SECRET")


def notifier(*routes: Route, patience: Patience = SHORT, **environment: str) -> Notifier:
    return Notifier(Routes(routes), {"HOOK_SECRET": SECRET, **environment}, patience)


def test_a_webhook_is_signed_and_a_tampered_one_is_seen() -> None:
    with receiver() as it:
        (receipt,) = notifier(route := hook("ops", it.url + "/in")).send(message(), [route])
    assert receipt.took
    (heard,) = it.heard
    assert is_signed(heard.headers, heard.body)
    assert not is_signed(heard.headers, heard.body.replace(b"overdue", b"healthy"))
    assert not is_signed({**heard.headers, "webhook-id": "msg_another"}, heard.body)
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    assert not is_signed(heard.headers, heard.body, other)
    assert heard.json["type"] == "muster.alert.raised"
    assert heard.json["data"] == {
        "subject": "restore-shop",
        "condition": "overdue",
        "severity": "warning",
        "title": "restore-shop is overdue",
        "body": message().body,
        "since": "2026-03-01T03:00:00+00:00",
    }


def test_a_server_that_comes_back_gets_the_same_message_with_the_same_id() -> None:
    with receiver(answers=[503]) as it:
        (receipt,) = notifier(route := hook("ops", it.url)).send(message(), [route])
    assert receipt.took
    assert len(it.heard) == 2
    assert len({heard.headers["webhook-id"] for heard in it.heard}) == 1
    assert all(is_signed(heard.headers, heard.body) for heard in it.heard)


@pytest.mark.parametrize(("status", "asked"), [(500, 2), (404, 1), (302, 1)])
def test_a_refusal_is_told_and_only_what_may_pass_is_tried_again(status: int, asked: int) -> None:
    with receiver(status=status) as it:
        (receipt,) = notifier(route := hook("ops", it.url)).send(message(), [route])
    assert not receipt.took
    assert receipt.why == f"it answered {status}"
    assert len(it.heard) == asked


def test_routes_that_hang_or_are_gone_cost_the_others_nothing() -> None:
    with receiver() as good, receiver(delay=3) as slow, receiver() as gone:
        pass_url = gone.url
    with receiver() as good, receiver(delay=3) as slow:
        routes = [hook("slow", slow.url), hook("gone", pass_url), hook("good", good.url)]
        routes.append(Route(name="unset", apprise_env="NOT_SET"))
        began = time.monotonic()
        receipts = {r.route: r for r in notifier(*routes).send(message(), routes)}
        assert time.monotonic() - began < 20
    assert {name: r.took for name, r in receipts.items()} == {
        "slow": False, "gone": False, "good": True, "unset": False,
    }  # fmt: skip
    assert receipts["slow"].why == "it did not answer in time"
    assert "cannot be reached" in receipts["gone"].why
    assert receipts["unset"].why == "the environment variable NOT_SET is not set"


def test_one_route_never_takes_longer_than_its_share() -> None:
    with receiver(delay=30) as it:
        route = hook("ops", it.url)
        (receipt,) = notifier(route, patience=Patience(answer=60, attempts=1, all=0.5)).send(message(), [route])
    assert not receipt.took
    assert receipt.why == "it took longer than 0.5 s"


def test_many_messages_at_once_are_one_digest_with_a_receipt_each() -> None:
    few, many = ([message(f"plan-{n}") for n in range(count)] for count in (MANY, MANY + 1))
    with receiver() as it:
        sender = notifier(hook("ops", it.url))
        assert len(sender.deliver({"ops": few})) == MANY
        assert len(it.heard) == MANY
        receipts = sender.deliver({"ops": many})
    assert [r.message.subject for r in receipts] == [m.subject for m in many]
    assert all(r.took for r in receipts)
    assert len(it.heard) == MANY + 1
    digest = it.heard[-1].json
    assert digest["type"] == "muster.alert.digest"
    assert [part["subject"] for part in digest["data"]["messages"]] == [m.subject for m in many]


def test_apprise_takes_a_message_to_its_own_receivers() -> None:
    with receiver() as it:
        url = f"json://127.0.0.1:{it.port}/in"
        route = Route(name="chat", apprise_env="CHAT_URL")
        (receipt,) = notifier(route, CHAT_URL=url).send(message(severity=Severity.CRITICAL), [route])
        assert receipt.took, receipt.why
        it.status = 500
        (refused,) = notifier(route, CHAT_URL=url).send(message(), [route])
    assert not refused.took
    assert it.heard[0].json["title"] == "restore-shop is overdue"
    assert it.heard[0].json["message"].startswith("why: no run since its slot was due")
    assert it.heard[0].json["type"] == "failure"


def test_apprise_sends_mail() -> None:
    route = Route(name="mail", apprise_env="MAIL_URL")
    with mail_server() as (port, mails):
        url = f"mailto://127.0.0.1:{port}?from=muster@example.com&to=ops@example.com&mode=insecure"
        (receipt,) = notifier(route, MAIL_URL=url).send(message(), [route])
    assert receipt.took, receipt.why
    (mail,) = mails
    assert "restore-shop is overdue" in mail
    assert "To: ops@example.com" in mail


def test_an_apprise_url_that_hangs_is_let_go() -> None:
    route = Route(name="chat", apprise_env="CHAT_URL")
    with receiver(delay=3) as it:
        (receipt,) = notifier(route, CHAT_URL=f"json://127.0.0.1:{it.port}").send(message(), [route])
    assert not receipt.took


@pytest.mark.parametrize("url", ["nonsense", "slack://hunter2", "json://user:hunter2@127.0.0.1:1/hunter2"])
def test_no_secret_is_in_receipts_or_logs(
    url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    routes = [Route(name="chat", apprise_env="CHAT_URL"), hook("ops", "http://127.0.0.1:1/hunter2")]
    receipts = notifier(*routes, CHAT_URL=url).send(message(), routes)
    assert [r.took for r in receipts] == [False, False]
    out, err = capfd.readouterr()
    # The lowest layers' debug logs name host and port, never a path; the address itself must be nowhere.
    for text in (*(r.why for r in receipts), out, err, *(r.getMessage() for r in caplog.records)):
        assert "hunter2" not in text


@pytest.mark.parametrize("secret", ["", "hunter2", "whsec_???", "whsec_aHVudGVyMg=="])
def test_a_secret_that_is_none_is_refused_before_anything_is_sent(secret: str) -> None:
    with receiver() as it:
        route = hook("ops", it.url)
        (receipt,) = notifier(route, HOOK_SECRET=secret).send(message(), [route])
    assert not receipt.took
    assert it.heard == []
    assert "hunter2" not in receipt.why


def run(tmp_path: Path, routes: list[dict[str, object]], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`muster notify test` with these routes."""
    plans = tmp_path / "plans"
    plans.mkdir(exist_ok=True)
    (plans / "routes.yaml").write_text(yaml.safe_dump({"routes": routes}))
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("MUSTER_")}, "HOOK_SECRET": SECRET}
    env |= {"MUSTER_HOME": str(tmp_path / "home"), "MUSTER_PLANS": str(plans)}
    return subprocess.run(
        [MUSTER, "notify", "test", *arguments], env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_tries_each_route_and_names_the_one_that_refuses(tmp_path: Path) -> None:
    with receiver() as good, receiver(status=403) as bad:
        routes: list[dict[str, object]] = [
            {"name": name, "webhook": it.url, "secret_env": "HOOK_SECRET"}
            for name, it in (("good", good), ("bad", bad))
        ]
        both = run(tmp_path, routes, "--json")
        one = run(tmp_path, routes, "good")
    assert both.returncode == 1
    assert [(r["route"], r["took"], r["why"]) for r in json.loads(both.stdout)] == [
        ("good", True, ""),
        ("bad", False, "it answered 403"),
    ]
    assert one.returncode == 0, one.stderr
    assert "took it" in one.stdout
    assert [heard.json["type"] for heard in good.heard] == ["muster.test"] * 2
    assert len(bad.heard) == 1


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    nothing = run(tmp_path, [])
    assert nothing.returncode == 64
    assert "no routes" in nothing.stderr
    unknown = run(tmp_path, [{"name": "ops", "apprise_env": "OPS_URL"}], "pager")
    assert unknown.returncode == 64
    assert "'pager'" in unknown.stderr


def test_a_plan_that_names_a_route_there_is_not_is_an_error(tmp_path: Path) -> None:
    plans = tmp_path / "plans"
    plans.mkdir()
    plan = {"name": "restore-shop", "kind": "restore", "environment": "test", "owner": "tests"}
    plan |= {"target": {"type": "embedded"}, "restore": {"database": "shop"}}
    with receiver() as it:
        routes: list[dict[str, object]] = [{"name": "ops", "webhook": it.url, "secret_env": "HOOK_SECRET"}]
        (plans / "restore-shop.yaml").write_text(yaml.safe_dump({**plan, "notifications": ["ops"]}))
        assert run(tmp_path, routes).returncode == 0
        (plans / "restore-shop.yaml").write_text(yaml.safe_dump({**plan, "notifications": ["opps"]}))
        wrong = run(tmp_path, routes)
    assert wrong.returncode == 64
    assert "'opps'" in wrong.stderr


def test_the_recipe_in_the_docs_verifies_what_is_sent() -> None:
    page = Path("docs/notifications.md").read_text("utf-8")
    recipe: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], recipe)
    with receiver() as it:
        notifier(route := hook("ops", it.url)).send(message(), [route])
    (heard,) = it.heard
    assert recipe["is_from_muster"](SECRET, heard.headers, heard.body)
    assert not recipe["is_from_muster"](SECRET, heard.headers, heard.body + b" ")
    late = {**heard.headers, "webhook-timestamp": str(int(heard.headers["webhook-timestamp"]) - 600)}
    assert not recipe["is_from_muster"](SECRET, late, heard.body)


def test_every_key_of_a_route_is_documented() -> None:
    page = Path("docs/notifications.md").read_text("utf-8")
    assert [key for key in Route.model_fields if f"| `{key}` |" not in page] == []
