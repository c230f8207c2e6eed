"""The commands around evidence, on a folder: listed, brought once, proved, and keys that change hands."""

import json
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evidence import durable
from evidence.bundle import Sealed, seal
from evidence.keys import ensure_key_pair, load_signer
from evidence.outbox import Outbox
from evidence.statement import PredicateType
from evidence.stores import open_store
from muster.cli import invoke
from muster.cli.options import settings
from muster.clock import SystemClock
from muster.notary.desk import Desk

NOW = datetime(2026, 11, 26, 5, tzinfo=UTC)
Run = Callable[..., str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "deployments").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUSTER_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Carry out a command; what it printed. `code` is what it has to exit with."""

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        found = invoke(list(arguments))
        out, err = capsys.readouterr()
        assert found == code, (out, err)
        return out + err

    return run


def hand_in(home: Path, number: int, outcome: str = "passed") -> str:
    name, key = f"shop-{number}", home / ".muster" / "keys" / "signing.pem"
    ensure_key_pair(key)
    predicate: dict[str, Any] = {"run": name, "plan": "shop", "outcome": outcome, "kind": "restore"}
    due = NOW + timedelta(minutes=number)
    predicate |= {"scheduledAt": due.isoformat(), "endedAt": due.isoformat()}
    made = home / f"{name}.tar.gz"
    sealed = seal({"a": b"1"}, predicate, load_signer(key), made, {})
    open_store(str(home / "store")).put(f"shop/{name}.tar.gz", sealed.path, sealed.sha256)
    return name


@pytest.fixture
def entered(home: Path, run: Run) -> None:
    for number, outcome in enumerate(("passed", "failed", "missed"), 1):
        hand_in(home, number, outcome)
    run("notary", "--once")


def test_before_the_first_run_there_is_nothing_to_list(run: Run) -> None:
    assert "holds no log yet" in run("evidence", "ls", code=64)


@pytest.mark.usefixtures("entered")
def test_what_was_entered_is_listed_and_filtered(run: Run) -> None:
    whole = run("evidence", "ls")
    assert [name in whole for name in ("shop-1", "shop-2", "shop-3", "key statement")] == [True] * 4
    failed = run("evidence", "ls", "--outcome", "failed")
    assert "shop-2" in failed
    assert "shop-1" not in failed
    entries = [json.loads(line) for line in run("evidence", "ls", "--json").splitlines()]
    assert [entry["index"] for entry in entries] == [0, 1, 2, 3]
    assert run("evidence", "ls", "--json", "--since", "2999-01-01") == ""
    assert "is no day or moment" in run("evidence", "ls", "--since", "soon", code=64)
    assert "The newest 1 of 4" in run("evidence", "ls", "--limit", "1")


@pytest.mark.usefixtures("entered")
def test_a_timeline_tells_how_runs_ended(run: Run) -> None:
    line = next(line for line in run("evidence", "timeline").splitlines() if "2026-11" in line)
    assert line.split(maxsplit=3) == ["2026-11", "shop", "3", "1 failed, 1 missed, 1 passed"]


@pytest.mark.usefixtures("entered")
def test_what_is_pulled_is_whole_and_brought_once(home: Path, run: Run) -> None:
    assert "10 files brought to there" in run("evidence", "pull", "--output", "there")
    first = json.loads(run("evidence", "pull", "--output", "here", "--json"))
    assert (first["brought"], first["there"]) == (10, 0)
    (home / "here" / "shop" / "shop-1.tar.gz").write_bytes(b"half a fi")
    (home / "here" / "receipts" / "shop" / "shop-2.tar.gz.dsse.json").unlink()
    again = json.loads(run("evidence", "pull", "--output", "here", "--json"))
    assert (again["brought"], again["there"]) == (2, 8)
    key = "shop/shop-1.tar.gz"
    said = run(
        "verify", f"here/{key}", "--proof", f"here/proofs/{key}.tlog-proof", "--keyring", "here/keys",
        "--receipt", f"here/receipts/{key}.dsse.json",
    )  # fmt: skip
    assert "Verified" in said
    assert "nothing in the log fits" in run("evidence", "pull", "shop-9", code=64)


@pytest.mark.usefixtures("entered")
def test_a_store_that_gives_other_bytes_is_told_and_they_are_not_kept(home: Path, run: Run) -> None:
    kept = home / "store" / "shop" / "shop-1.tar.gz"
    kept.chmod(0o644)
    kept.write_bytes(b"another")
    assert "gives other bytes" in run("evidence", "pull", "shop-1", "--output", "here", code=64)
    assert not (home / "here" / "shop" / "shop-1.tar.gz").exists()
    assert "shop/shop-1.tar.gz" in run("evidence", "audit", code=1)


@pytest.mark.usefixtures("entered")
def test_a_healthy_store_has_no_findings_and_a_folder_is_not_worm(run: Run) -> None:
    assert "0 findings" in run("evidence", "audit", "--deep")
    assert "may not be called WORM" in run("evidence", "probe", code=1)
    assert "probe of the store" in run("evidence", "ls")
    assert "hands out no links" in run("evidence", "link", "shop-1", "--to", "me", code=64)


@pytest.mark.usefixtures("entered")
def test_an_audit_that_is_sealed_is_told_and_caught_by_the_next_package(home: Path, run: Run) -> None:
    assert "3 bundles, 0 of them worse than at first" in run("evidence", "audit", "--seal")
    assert run("evidence", "ls").count("receipt asked for again") == 3
    made = json.loads(run("evidence", "package", "--release", "v1", "--period", "2026-Q4", "--output", "out", "--json"))
    assert "Verified" in run("verify", made["package"])
    (home / "store" / "shop" / "shop-1.tar.gz").unlink()
    told = json.loads(run("evidence", "audit", "--seal", "--json", code=1))
    assert told["sealed"] == {"bundles": 4, "worse": 1, "over": 0}
    assert "sealed" not in json.loads(run("evidence", "audit", "--json", code=1))
    made = json.loads(run("evidence", "package", "--release", "v2", "--period", "2026-Q4", "--output", "out", "--json"))
    assert "0 versions of what is written once" in run("verify", made["package"], code=1)


@pytest.mark.usefixtures("entered")
def test_every_kind_of_record_is_listed_in_words(home: Path, run: Run) -> None:
    notary = Desk(settings(), SystemClock()).notary(open_store(str(home / "store")))
    for kind in (PredicateType.PLAN, PredicateType.PROBE, PredicateType.LINK, PredicateType.PUT_RECEIPT):
        notary.record(kind, {"shop.yaml": "0" * 64}, {"kind": kind.value})
    listed = run("evidence", "ls")
    assert "plan statement" in listed
    assert "urn:muster" not in listed


def verified(run: Run, name: str, code: int = 0) -> str:
    run("evidence", "pull", name, "--output", "here")
    key = f"shop/{name}.tar.gz"
    return run("verify", f"here/{key}", "--proof", f"here/proofs/{key}.tlog-proof", "--keyring", "here/keys", code=code)


@pytest.mark.usefixtures("entered")
def test_keys_rotate_and_the_pinned_key_stays(home: Path, run: Run) -> None:
    pinned = run("evidence", "key")
    assert "seals from entry" in run("evidence", "rotate")
    assert run("evidence", "key").splitlines()[1:] == pinned.splitlines()[1:]
    hand_in(home, 4)
    run("notary", "--once")
    assert "Verified" in verified(run, "shop-4")
    assert "Verified" in verified(run, "shop-1")
    assert [line.split()[1] for line in run("evidence", "keys").splitlines()] == ["may", "may", "is"]
    assert (home / ".muster" / "keys" / "signing.pem").stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("entered")
def test_a_revoked_key_s_later_seals_count_no_more(home: Path, run: Run) -> None:
    run("evidence", "rotate")
    first = run("evidence", "keys").split()[0]
    said = run("evidence", "revoke", first[:12], "--reason", "stolen", "--from-entry", "3")
    assert "It was the pinned key" in said
    assert "Verified" in verified(run, "shop-1"), "its proof is made anew: the head in the store's names entry 3 too"
    assert json.loads(run("evidence", "pull", "shop-1", "--output", "here", "--json"))["brought"] == 0
    assert "do not rely" in verified(run, "shop-3", code=1)
    assert "is not the beginning of one key" in run("evidence", "revoke", "zz", "--reason", "x", code=64)


@pytest.mark.usefixtures("entered")
@pytest.mark.parametrize("dies_at", range(1, 12))
def test_a_rotation_that_was_killed_is_finished_by_asking_again(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    """Killed at each write to disk in turn: of keys, of the store, of what was seen."""
    writes, replacing = 0, durable.replacing

    def dying(*arguments: Any, **more: Any) -> Any:
        nonlocal writes
        writes += 1
        if writes == dies_at:
            raise KeyboardInterrupt
        return replacing(*arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(durable, "replacing", dying)
        invoke(["evidence", "rotate"])
    run("evidence", "rotate")
    hand_in(home, 4)
    run("notary", "--once")
    assert "Verified" in verified(run, "shop-4")
    assert "Verified" in verified(run, "shop-1")


@pytest.mark.usefixtures("entered")
def test_keys_do_not_change_while_bundles_wait(home: Path, run: Run) -> None:
    name = hand_in(home, 4)
    made = home / f"{name}.tar.gz"
    Outbox(home / ".muster" / "outbox").add(
        Sealed(made, durable.sha256_of(made), made.stat().st_size, "key"), "shop/x.tar.gz"
    )
    before = run("evidence", "keys")
    assert "1 bundle waits" in run("evidence", "rotate", code=64)
    assert run("evidence", "keys") == before
    assert not (home / ".muster" / "keys" / "next.pem").exists()


def test_what_is_withheld_is_disclosed_by_its_owner(home: Path, run: Run) -> None:
    (home / "deployments" / "evidence.yaml").write_text("withhold: ['[a-z]+[.]internal']\n")
    told = json.loads(run("evidence", "disclose", "shop-1", "db.internal"))
    assert (told["run"], told["value"]) == ("shop-1", "db.internal")
    assert "no pattern" in run("evidence", "disclose", "shop-1", "elsewhere", code=64)


@pytest.mark.usefixtures("entered")
def test_the_portal_shows_what_was_entered_and_is_drawn_anew(home: Path, run: Run) -> None:
    assert "4 entries of the log" in run("evidence", "portal", "--output", "pages")
    page = (home / "pages" / "portal" / "index.html").read_text()
    assert [name in page for name in ("shop-1", "shop-2", "shop-3", "shop-4")] == [True, True, True, False]
    run("evidence", "portal")
    hand_in(home, 4)
    run("notary", "--once")
    run("evidence", "portal")
    assert "shop-4" in (home / "store" / "portal" / "index.html").read_text()
    assert "0 findings" in run("evidence", "audit")


@pytest.mark.usefixtures("entered")
def test_a_package_is_made_entered_and_compared(home: Path, run: Run) -> None:
    made = json.loads(run("evidence", "package", "--release", "v1", "--period", "2026-Q4", "--output", "out", "--json"))
    assert made["says"]["population"]["outcomes"] == {"failed": 1, "missed": 1, "passed": 1}
    assert "package v1-2026-Q4" in run("evidence", "ls")
    assert "exported: " in run("evidence", "export", made["package"], "--for", "vanta", "--output", "exported")
    assert "is in the log already" in run("evidence", "package", "--release", "v1", "--period", "2026-Q4", code=64)
    hand_in(home, 4)
    run("notary", "--once")
    second = json.loads(
        run("evidence", "package", "--release", "v2", "--period", "2026-Q4", "--output", "out", "--json")
    )
    assert "They say the same" in run("evidence", "diff", made["package"], made["package"])
    changed = run("evidence", "diff", made["package"], second["package"], code=1)
    assert '"passed": 2' in changed
    said = run("verify", second["package"], "--before", made["package"], code=0)
    assert "Verified" in said
    assert "do not rely" in run("verify", made["package"], "--before", second["package"], code=1)
    first, newest = (_head_of(home, one["package"]) for one in (made, second))
    assert "Verified" in run("verify", second["package"], "--head", first, "--head", newest)
    assert "beyond the log" in run("verify", made["package"], "--head", newest, code=1)


def _head_of(home: Path, package: str) -> str:
    """A file with the head that the package was sealed under."""
    path = home / f"{Path(package).name}.head"
    with tarfile.open(home / package) as opened:
        (name,) = (name for name in opened.getnames() if name.endswith("/data/log/head"))
        found = opened.extractfile(name)
        path.write_bytes(found.read() if found else b"")
    return str(path)


def test_who_hands_in_to_a_notary_apart_enters_nothing(home: Path, run: Run) -> None:
    (home / "deployments" / "evidence.yaml").write_text("notary: apart\n")
    hand_in(home, 1)
    assert "hands in to a notary apart" in run("notary", "--once", code=64)
    assert "hands in to a notary apart" in run("evidence", "package", "--release", "v1", code=64)
    assert not (home / "store" / "keys").exists()
