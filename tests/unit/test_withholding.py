"""Withheld values: gone from the evidence, the same bytes each time, provable one by one."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_report_samples import PASSED

from muster.errors import UsageError
from muster.withholding import Withholder, withhold_in_logs, withholding_key

KEY = bytes(range(32))
HOSTS = Withholder("run-1", KEY, (r"[a-z]+\.internal", r"\b10\.\d+\.\d+\.\d+\b"))


def test_a_value_is_replaced_by_its_salted_hash_wherever_it_stands() -> None:
    said = HOSTS.text("db.internal (10.1.2.3) and again db.internal")
    assert "internal" not in said
    assert "10.1.2.3" not in said
    assert said == f"{HOSTS.token('db.internal')} ({HOSTS.token('10.1.2.3')}) and again {HOSTS.token('db.internal')}"


def test_what_is_withheld_is_not_withheld_again() -> None:
    everything = Withholder("run-1", KEY, (r"[a-f0-9]{8,}", r"withheld"))
    once = everything.text("deadbeef0 withheld")
    assert once.count("withheld:sha256:") == 2
    assert everything.text(once) == once


def test_data_keeps_its_form_and_its_keys() -> None:
    shown = HOSTS.value({"db.internal": ["a.internal", 1, None, {"x": "y"}], "n": 2.5, "t": True})
    assert shown == {"db.internal": [HOSTS.token("a.internal"), 1, None, {"x": "y"}], "n": 2.5, "t": True}


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_disclosure_proves_one_value_of_one_run(value: str, other: str) -> None:
    told = HOSTS.disclosure(value)
    assert (
        hashlib.sha256(bytes.fromhex(told["salt"]) + value.encode("utf-8", "surrogatepass")).hexdigest()
        == told["digest"]
    )
    elsewhere = Withholder("run-2", KEY, HOSTS.patterns).disclosure(value)
    assert elsewhere["digest"] != told["digest"]
    if other != value:
        assert HOSTS.disclosure(other)["salt"] != told["salt"]


def test_without_patterns_nothing_changes() -> None:
    nothing = Withholder("run-1", KEY, ())
    assert nothing.text("db.internal") == "db.internal"
    assert nothing.summary(PASSED) is PASSED


def test_a_summary_keeps_the_names_that_the_log_needs() -> None:
    shown = Withholder(PASSED.run, KEY, (PASSED.plan, r"\d+ orders")).summary(PASSED)
    assert (shown.run, shown.plan, shown.outcome) == (PASSED.run, PASSED.plan, PASSED.outcome)


def test_a_pattern_that_fits_everything_is_told() -> None:
    with pytest.raises(UsageError, match="fits a word that evidence needs"):
        Withholder(PASSED.run, KEY, (r"\w+",)).summary(PASSED)


def test_logs_are_rewritten_byte_for_byte_but_for_the_value(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"to db.internal\r\n\xff\xfe raw\n")
    (tmp_path / "b.log").write_bytes(b"nothing here\r\n")
    before = (tmp_path / "b.log").stat().st_ino
    withhold_in_logs(tmp_path, HOSTS)
    assert (tmp_path / "a.log").read_bytes() == f"to {HOSTS.token('db.internal')}\r\n".encode() + b"\xff\xfe raw\n"
    assert (tmp_path / "b.log").stat().st_ino == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "b.log"]


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "withholding.key"
    key = withholding_key(path)
    assert len(key) == 32
    assert withholding_key(path) == key
    assert path.stat().st_mode & 0o077 == 0
    assert [one.name for one in path.parent.iterdir()] == ["withholding.key"]
