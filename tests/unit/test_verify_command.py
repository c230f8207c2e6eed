"""The verifier as a file that somebody was handed: alone, by another Python, without any package, by commands."""

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from evidence import verify as v
from tests.paper_package import Installation, Run, a_period

FILE = Path(v.__file__)


@dataclass(frozen=True)
class Desk:
    """An auditor's folder: the verifier, a key, what was sent."""

    folder: Path

    def run(self, *arguments: str, options: tuple[str, ...] = ("-I",), **environment: str) -> tuple[int, str, str]:
        """Exit code, output and errors of `python3 verify.py`."""
        command = [sys.executable, *options, str(self.folder / "verify.py"), *arguments]
        variables = {"PATH": os.environ["PATH"], **environment}
        done = subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, timeout=120, check=False)
        return done.returncode, done.stdout.decode("ascii"), done.stderr.decode("ascii")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    shutil.copy(FILE, folder / "verify.py")
    home = Installation(folder)
    period = a_period(home)
    healthy = period.package()
    (folder / "good.tar.gz").write_bytes(healthy)
    (folder / "run.tar.gz").write_bytes(period.files[f"runs/{Run(1).key}"])
    (folder / "bad.tar.gz").write_bytes(healthy[:1000] + bytes([healthy[1000] ^ 1]) + healthy[1001:])
    period.files[f"runs/{Run(1).key}"] = home.bundle(Run(1, "failed"))
    (folder / "forged.tar.gz").write_bytes(period.package())
    return Desk(folder)


WAYS = {
    "by the package": ((), ("-I",)),
    "by openssl": (("--openssl",), ("-I",)),
    "without any package": ((), ("-I", "-S")),
}


@pytest.mark.parametrize("way", WAYS)
def test_good_ones_pass_and_changed_ones_fail(desk: Desk, way: str) -> None:
    arguments, options = WAYS[way]
    for file, code in (("good", 0), ("run", 0), ("bad", 1), ("forged", 1), ("none", 1)):
        done = desk.run(f"{file}.tar.gz", "--key", "signing.pub", *arguments, options=options)
        assert done[0] == code, done
        assert done[1].splitlines()[-1].startswith("What it says" if code == 0 else "FAIL: do not rely on this.")
        assert done[2] == ""


def test_it_says_in_words_what_was_checked_what_was_not_and_what_it_means(desk: Desk) -> None:
    _, said, _ = desk.run("good.tar.gz", "--key", "signing.pub")
    assert "\nok           runs " in said
    assert "\nWhat was not checked:\n  - " in said
    assert "\n  - forms: junit.xml, controls.json, oscal.json: not in the package" in said
    assert "\n  - anchors: the package holds no time-stamp" in said
    assert "\nWhat to know besides:\n" in said
    assert "\x1b" not in said
    _, said, _ = desk.run("forged.tar.gz", "--key", "signing.pub")
    assert "\nFAIL         runs          restore-shop/restore-shop-0001.tar.gz: it is not the bundle" in said
    assert "\nWhat the failures mean:\n  - runs: a run was dropped, added, swapped or changed" in said
    assert "What it says" not in said


def test_json_for_programs(desk: Desk) -> None:
    code, said, _ = desk.run("good.tar.gz", "--key", "signing.pub", "--json")
    found = json.loads(said)
    assert (code, found["verdict"]) == (0, "pass")
    unchecked = {check["name"] for check in found["checks"] if check["ok"] is None}
    assert unchecked == {"plans", "forms", "anchors", "witnesses", "previous", "own entry", "own receipt"}
    assert found["predicate"]["head"]["size"] == 6
    code, said, _ = desk.run("forged.tar.gz", "--key", "signing.pub", "--json")
    found = json.loads(said)
    assert (code, found["verdict"]) == (1, "fail")
    assert [check["name"] for check in found["checks"] if check["ok"] is False] == ["runs"]


def test_what_was_asked_for_and_could_not_be_checked_has_its_own_exit_code(desk: Desk) -> None:
    witness = "w.example+00000000+BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    key_id = v.note_key_id("w.example", 4, bytes(32)).hex()
    vkey = witness.replace("00000000", key_id, 1)
    code, said, _ = desk.run("good.tar.gz", "--key", "signing.pub", "--witness", vkey)
    assert code == 2
    assert "\nINCONCLUSIVE: " in said
    (desk.folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    assert desk.run("good.tar.gz", "--key", "signing.pub", "--tsa-cert", "ca.pem")[0] == 2
    assert desk.run("good.tar.gz", "--key", "signing.pub", "--witness", witness)[0] == 64


USAGES = {
    "nothing": (),
    "no key": ("good.tar.gz",),
    "a key that is none": ("good.tar.gz", "--key", "good.tar.gz"),
    "a key that is not there": ("good.tar.gz", "--key", "none.pub"),
    "a private key": ("good.tar.gz", "--key", "signing.pem"),
    "an unknown option": ("good.tar.gz", "--key", "signing.pub", "--trust-me"),
    "a limit that is none": ("good.tar.gz", "--key", "signing.pub", "--limit", "members=many"),
    "an unknown limit": ("good.tar.gz", "--key", "signing.pub", "--limit", "patience=3"),
    "a proof that is not there": ("run.tar.gz", "--key", "signing.pub", "--proof", "none"),
    "a keyring that is none": ("run.tar.gz", "--key", "signing.pub", "--keyring", "."),
}


@pytest.mark.parametrize("usage", USAGES)
def test_wrong_usage_has_its_own_exit_code_and_says_the_next_move(desk: Desk, usage: str) -> None:
    code, said, told = desk.run(*USAGES[usage])
    assert (code, said) == (64, "")
    assert "verify.py: " in told
    assert "Traceback" not in told


def test_limits_are_kept(desk: Desk) -> None:
    for limit, code in (("members=30", 0), ("members=10", 1), ("total_bytes=1000", 1), ("tag_bytes=100", 1)):
        assert desk.run("good.tar.gz", "--key", "signing.pub", "--limit", limit)[0] == code, limit


def test_without_package_and_command_it_says_so_and_blames_nobody(desk: Desk) -> None:
    code, said, told = desk.run("good.tar.gz", "--key", "signing.pub", options=("-I", "-S"), PATH="/nowhere")
    assert (code, said) == (2, "")
    assert told.startswith("verify.py: no signature can be checked here\n  -> install OpenSSL 3")
    code, _, _ = desk.run("good.tar.gz", "--key", "signing.pub", PATH="/nowhere")
    assert code == 0


def test_an_openssl_that_says_yes_to_everything_or_knows_no_ed25519_is_not_believed(desk: Desk) -> None:
    for word, code in (("true", 2), ("false", 2)):
        folder = desk.folder / word
        folder.mkdir()
        (folder / "openssl").symlink_to(shutil.which(word) or "")
        assert desk.run("good.tar.gz", "--key", "signing.pub", "--openssl", PATH=str(folder))[0] == code


def test_words_of_an_attacker_do_nothing_to_a_terminal(desk: Desk, tmp_path: Path) -> None:
    home = Installation(tmp_path)
    run = "r\u202e1\x1b[2J\n"
    bundle = home.sealed({"a": b""}, "r1", {"outcome": "pass\u00e9d", "run": run})
    (desk.folder / "words.tar.gz").write_bytes(bundle)
    shutil.copy(home.pinned, desk.folder / "words.pub")
    code, said, _ = desk.run("words.tar.gz", "--key", "words.pub", PYTHONIOENCODING="ascii", options=("-s",))
    assert code == 0
    assert said.endswith("What it says: run r\\u202e1\\x1b[2J\\n pass\\xe9d.\n")


def test_it_imports_nothing_but_the_standard_library_and_cryptography() -> None:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(FILE.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }
    assert imported - sys.stdlib_module_names == {"cryptography"}


def test_it_is_written_for_python_3_9() -> None:
    """Its grammar, its use of types where they are values, and names that came later."""
    tree = ast.parse(FILE.read_text(), feature_version=(3, 9))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]
    hints = {
        id(part)
        for node in ast.walk(tree)
        for hint in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if hint is not None
        for part in ast.walk(hint)
    }
    unions = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and id(node) not in hints
        and (isinstance(node.right, ast.Constant) and node.right.value is None)
    ]  # fmt: skip
    assert unions == []
    later = {"StrEnum", "Self", "assert_never", "pairwise", "batched", "file_digest", "removeprefix_"}
    assert not later & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and any(word.arg in ("strict", "slots", "kw_only") for word in node.keywords)
    ]
