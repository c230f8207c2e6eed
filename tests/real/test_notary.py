"""`muster notary` with a real authority and a real witness: what they vouch for, and what happens without them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from evidence.bundle import seal
from evidence.keys import ensure_key_pair, load_signer
from evidence.stores import open_store
from tests.real.timestamp_authority import Reply, TimestampAuthority, serving

MUSTER = str(Path(sys.executable).with_name("muster"))
NOW = datetime.now(UTC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "deployments").mkdir()
    return tmp_path


def muster(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "MUSTER_STORE": str(home / "store")}
    command = [MUSTER, *arguments]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=120, check=False)


def hand_in(home: Path, number: int) -> str:
    """A sealed run, put into the store by hand, as a runner apart does it."""
    run, key = f"shop-{number}", home / ".muster" / "keys" / "signing.pem"
    ensure_key_pair(key)
    predicate = {"run": run, "plan": "shop", "outcome": "passed", "scheduledAt": NOW.isoformat()}
    made = home / f"{run}.tar.gz"
    sealed = seal({"a": b"1"}, predicate | {"endedAt": NOW.isoformat()}, load_signer(key), made, {})
    return open_store(str(home / "store")).put(f"shop/{run}.tar.gz", sealed.path, sealed.sha256).key


@contextmanager
def witnessing(home: Path, *logs: str) -> Iterator[tuple[str, str]]:
    """`muster witness` on a free port: its address and its key."""
    command = [MUSTER, "witness", "--state", str(home / "witness"), "--name", "w.example/one"]
    command += [*(part for log in logs for part in ("--log", log)), "--address", "127.0.0.1:0"]
    process = subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        key = process.stdout.readline().strip().removeprefix("witness key: ")
        yield process.stdout.readline().strip().removeprefix("listening on "), key
    finally:
        process.terminate()
        assert process.wait(30) == 0


def rounds(home: Path) -> Any:
    done = muster(home, "notary", "--once", "--json")
    return json.loads(done.stdout)


def test_without_anybody_to_vouch_it_says_so(home: Path) -> None:
    key = hand_in(home, 1)
    done = muster(home, "notary", "--once")
    assert done.returncode == 0, done.stderr
    assert f"entered {key}" in done.stdout
    assert "Nobody else vouches for its times" in done.stdout


def test_an_authority_and_a_witness_vouch_and_the_verifier_believes_them(home: Path) -> None:
    authority = TimestampAuthority(home / "tsa")
    hand_in(home, 1)
    assert rounds(home)["problems"] == []
    log = muster(home, "evidence", "key", "--log").stdout.strip()
    with serving(lambda query: Reply(authority.reply(query))) as tsa, witnessing(home, log) as (url, vkey):
        (home / "deployments" / "evidence.yaml").write_text(
            f"authorities: [{{name: one, url: '{tsa.url}', certificates: {authority.root}}}]\n"
            f"witnesses: [{{name: two, url: '{url}', key: '{vkey}'}}]\n"
        )
        hand_in(home, 2)
        done = rounds(home)
        assert done["problems"] == []
        assert [words.split()[:3] for words in done["vouched"]] == [
            ["time-stamped", "by", "one"],
            ["cosigned", "by", "two"],
        ]
        asked = len(tsa.asked)
        assert rounds(home)["vouched"] == done["vouched"]
        assert len(tsa.asked) == asked, "what is vouched for is not asked again"
        hand_in(home, 4)
        grown = rounds(home)
        assert (grown["problems"], len(grown["vouched"])) == ([], 2), "the log goes on from what the witness saw"
    done = rounds(home)
    assert (done["problems"], len(done["vouched"])) == ([], 2), "what they said is kept"
    hand_in(home, 3)
    problems = rounds(home)["problems"]
    assert [re.split(r"[:,]", words)[0] for words in problems] == ["no time-stamp of one", "not cosigned by two"]


def test_a_store_that_was_set_back_ends_it(home: Path) -> None:
    hand_in(home, 1)
    assert rounds(home)["entered"]
    for path in sorted((home / "store").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    done = muster(home, "notary", "--once")
    assert done.returncode != 0
    assert "is not a head of the log" in done.stderr
