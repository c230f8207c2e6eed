"""Looks at a real pair of servers: ready, not ready, not seen; by hand, and by a watch that tells people."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from muster.cli import invoke
from muster.ledger import open_ledger
from muster.settings import Settings
from tasks.process import Processes
from tasks.regions.pair import Pair
from tests.real.receivers import SECRET, Receiver, receiver, wait_until

MUSTER = Path(sys.executable).parent / "muster"
PLAN = "failover-pair"


@dataclass
class Post:
    """An installation with one failover plan of a pair that runs, and a route to `ops`."""

    root: Path
    pair: Pair
    ops: Receiver

    def install(self) -> None:
        plans = self.root / "plans"
        plans.mkdir()
        plan: dict[str, Any] = {"name": PLAN, "kind": "failover", "environment": "test", "owner": "pair team"}
        plan |= {"target": {"type": "embedded-regions", "folder": str(self.pair.home), "link": {"rtt": "0s"}}}
        # As on any machine on which tests run: its disk may be nearly full.
        plan |= {"failover": {"scenario": "kill", "ready": {"every": "1s", "min_free": 0, "max_lag": "1h"}}}
        (plans / f"{PLAN}.yaml").write_text(yaml.safe_dump(plan))
        routes = [{"name": "ops", "webhook": self.ops.url, "secret_env": "OPS_SECRET"}]
        (plans / "routes.yaml").write_text(yaml.safe_dump({"routes": routes}))

    def environment(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PREFECT_"))},
            "MUSTER_HOME": str(self.root / "home"),
            "MUSTER_PLANS": str(self.root / "plans"),
            "MUSTER_STORE": str(self.root / "store"),
            "OPS_SECRET": SECRET,
        }

    def ask(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
        """A command in this process: its exit code, and the JSON that it printed."""
        with monkeypatch.context() as patch:
            for name, value in self.environment().items():
                patch.setenv(name, value)
            code = invoke([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    @contextmanager
    def watching(self) -> Iterator[None]:
        with (self.root / "watch.log").open("wb") as log:
            process = subprocess.Popen(
                [MUSTER, "watch", "--every", "1"], env=self.environment(), stdout=log, stderr=log
            )
            try:
                yield
            finally:
                process.kill()
                process.wait(30)

    def heard(self, title: str) -> bool:
        return any(told.startswith(title) for told in self.ops.titles())


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    sockets = Path(tempfile.mkdtemp(prefix="mrdy", dir="/tmp"))
    processes = Processes(tmp_path / "processes", tmp_path / "logs")
    pair = Pair(tmp_path / "regions", sockets, processes, form="proxy")
    try:
        pair.start()
        with receiver() as ops:
            post = Post(tmp_path, pair, ops)
            post.install()
            yield post
    finally:
        pair.stop()
        processes.close()
        shutil.rmtree(sockets)


def test_a_real_pair_is_ready_not_ready_and_not_seen(
    post: Post, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ready() -> tuple[int, dict[str, Any]]:
        code, told = post.ask(monkeypatch, capsys, "ready", PLAN, "--as", "ann")
        return code, told["plans"][0]

    def shown() -> dict[str, Any]:
        _, told = post.ask(monkeypatch, capsys, "status", PLAN)
        return dict(told["plans"][0])

    assert shown()["ready"]["why"] == "never looked at"
    code, told = ready()
    assert (code, told["state"], told["why"]) == (0, "ready", ""), told["findings"]
    assert len(told["findings"]) > 8
    row = shown()
    assert (row["ready"]["by"], row["state"], row["pass_at"]) == (told["by"], "never", None), "seen, and never proven"

    post.pair.freeze("a")
    code, told = ready()
    post.pair.thaw("a")
    assert (code, told["state"]) == (1, "not ready"), "a server that hangs holds up no look"
    assert "a: " in told["why"]
    post.pair.kill("b")
    code, told = ready()
    assert (code, told["state"]) == (1, "not ready"), told["findings"]
    assert "b: " in told["why"]
    post.pair.kill("a")
    code, told = ready()
    assert (code, told["state"]) == (2, "not seen"), told["findings"]
    post.pair.stop()
    code, told = ready()
    assert (code, told["state"]) == (2, "not seen"), told["findings"]

    post.pair.start()
    wait_until(lambda: ready()[0] == 0, "that it is ready again")
    with open_ledger(Settings(home=post.root / "home").ledger_url) as ledger:
        verdicts = [look.verdict.value for look in ledger.looks(PLAN, 100)]
        assert verdicts[-5:] == ["inconclusive", "inconclusive", "fail", "fail", "pass"]
        assert verdicts[0] == "pass"


def test_a_watch_tells_when_a_real_standby_dies_and_when_the_pair_is_ready_again(post: Post) -> None:
    with post.watching(), open_ledger(Settings(home=post.root / "home").ledger_url) as ledger:
        wait_until(lambda: (last := ledger.last_look(PLAN)) and last.verdict == "pass", "a look that found it ready")
        assert not post.heard(f"{PLAN} is not ready")
        post.pair.kill("b")
        wait_until(lambda: post.heard(f"{PLAN} is not ready"), "the alarm that it is not ready")
        post.pair.start_server("b")
        wait_until(lambda: post.heard(f"over: {PLAN} was not ready for"), "that it is ready again")
        last = ledger.last_look(PLAN)
        assert last is not None
        assert (last.verdict, last.by) == ("pass", "watch")
    titles = [title for title in post.ops.titles() if "ready" in title]
    assert len(titles) == 2, titles
    (over,) = [one for one in post.ops.heard if one.title.startswith("over: ") and "not ready" in one.title]
    assert "it is ready again" in over.body.decode()
