"""The load is even, and an outage is not made up for by a flood."""

from tasks.client.pace import paces

SECOND = 1_000_000_000


def test_connections_take_turns_at_the_rate_asked_for():
    due = sorted(pace.take(0) for pace in paces(4, 100.0, 0) for _ in range(25))

    assert due == [n * SECOND // 100 for n in range(100)]


def test_the_schedule_does_not_wait_for_slow_calls():
    (pace,) = paces(1, 10.0, 0)
    pace.take(0)

    assert pace.take(SECOND // 4) == SECOND // 10
    assert pace.take(SECOND // 4) == SECOND // 5


def test_an_outage_is_not_caught_up_with():
    (pace,) = paces(1, 10.0, 0)
    now = 60 * SECOND
    at_once = 0
    while pace.take(now) <= now:
        at_once += 1

    assert at_once == 1


def test_without_a_rate_every_call_is_due_at_once():
    for pace in paces(3, None, 5):
        assert [pace.take(now) <= now for now in (5, 6, 7)] == [True, True, True]
