"""What a link's condition may be, and how it is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.errors import UsageError
from tasks.link import control
from tasks.link.condition import Condition
from tasks.link.link import Link
from tasks.process import Processes

CONDITIONS = st.builds(
    Condition,
    rtt_seconds=st.floats(0, 60),
    loss=st.floats(0, 0.9),
    mbytes_per_second=st.none() | st.floats(0.01, 10_000),
    is_cut=st.booleans(),
)


@given(CONDITIONS)
def test_what_is_written_is_read(condition):
    assert Condition.from_json(condition.to_json()) == condition


@pytest.mark.parametrize(
    "wrong",
    [
        {"rtt_seconds": -0.1},
        {"rtt_seconds": 61},
        {"rtt_seconds": float("nan")},
        {"loss": 1.0},
        {"loss": -0.1},
        {"mbytes_per_second": 0},
        {"mbytes_per_second": -5},
    ],
    ids=str,
)
def test_an_impossible_condition_is_refused_with_advice(wrong):
    with pytest.raises(UsageError) as refused:
        Condition(**wrong)
    assert refused.value.advice


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"rtt": 1}', '{"loss": "much"}', '{"is_cut": true, "x": 1}'])
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(UsageError, match="no condition of a link"):
        Condition.from_json(text)


def test_a_record_is_read_again_and_none_is_none(tmp_path):
    assert control.recorded(tmp_path) is None
    control.record(tmp_path, Condition(0.08, is_cut=True))
    assert control.recorded(tmp_path) == Condition(0.08, is_cut=True)


def test_a_folder_too_deep_for_a_socket_is_refused_at_once(tmp_path):
    processes = Processes(tmp_path / "records", tmp_path / "logs")
    with pytest.raises(UsageError, match="too long a path"):
        Link(tmp_path / ("x" * 100), processes, {"a": 1, "b": 2})


def test_a_link_has_two_sides(tmp_path):
    processes = Processes(tmp_path / "records", tmp_path / "logs")
    with pytest.raises(UsageError, match="two sides"):
        Link(tmp_path, processes, {"a": 1})
    with pytest.raises(UsageError, match="no side c"):
        Link(tmp_path, processes, {"a": 1, "b": 2}, "proxy").listen_address("c")
