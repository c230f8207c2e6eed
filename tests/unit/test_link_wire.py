"""One direction of a link, with a clock and a chance of the test's own."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.link.condition import Condition
from tasks.link.wire import QUEUE_SECONDS, Bucket, Fate, Wire, longest_queue

PACKET = b"x" * 1500


def test_a_perfect_wire_hands_over_at_once():
    wire = Wire(Condition())
    assert wire.offer(b"one", 5.0) is Fate.CARRIED
    assert list(wire.due(5.0)) == [b"one"]
    assert wire.next_due() is None


def test_half_of_the_round_trip_is_the_way():
    wire = Wire(Condition(rtt_seconds=0.08))
    wire.offer(b"one", 1.0)
    assert wire.next_due() == 1.04
    assert list(wire.due(1.0399)) == []
    assert list(wire.due(1.04)) == [b"one"]


def test_chance_loses_what_is_below_the_loss_and_nothing_else():
    chances = iter([0.09, 0.1, 0.5, 0.0])
    wire = Wire(Condition(loss=0.1), lambda: next(chances))
    fates = [wire.offer(PACKET, 0.0) for _ in range(4)]
    assert fates == [Fate.LOST, Fate.CARRIED, Fate.CARRIED, Fate.LOST]
    assert len(list(wire.due(0.0))) == 2


def test_a_slow_line_sends_one_after_the_other():
    wire = Wire(Condition(rtt_seconds=0.02, mbytes_per_second=0.15))
    for _ in range(3):
        wire.offer(PACKET, 0.0)
    arrivals = []
    while (due := wire.next_due()) is not None:
        arrivals.append(round(due, 6))
        assert len(list(wire.due(due))) == 1
    assert arrivals == [0.02, 0.03, 0.04]


def test_an_idle_line_saves_nothing_up():
    bucket = Bucket()
    assert bucket.departure(1000, 0.0, 1000.0) == 1.0
    assert bucket.departure(1000, 50.0, 1000.0) == 51.0
    assert bucket.backlog(50.5) == 0.5
    assert bucket.backlog(60.0) == 0.0


def test_the_queue_before_a_slow_line_is_short():
    wire = Wire(Condition(mbytes_per_second=1))
    fates = [wire.offer(PACKET, 0.0) for _ in range(1000)]
    carried = fates.count(Fate.CARRIED)
    assert QUEUE_SECONDS * 1e6 / 1500 <= carried <= QUEUE_SECONDS * 1e6 / 1500 + 2
    assert fates[-1] is Fate.REFUSED
    assert wire.offer(PACKET, 0.01) is Fate.CARRIED


def test_the_slowest_line_still_has_room_for_a_few_packets():
    assert longest_queue(10_000) * 10_000 >= 20 * 1500
    assert longest_queue(None) == 0.0


def test_what_is_under_way_is_bounded():
    wire = Wire(Condition(rtt_seconds=60))
    packet = b"x" * 65_000
    fates = [wire.offer(packet, 0.0) for _ in range(2000)]
    assert Fate.REFUSED in fates
    assert fates.count(Fate.CARRIED) * 65_000 <= 64 * 1024 * 1024


def test_a_cut_loses_what_is_under_way_and_what_comes_until_it_is_healed():
    wire = Wire(Condition(rtt_seconds=0.1))
    wire.offer(b"under way", 0.0)
    wire.change(Condition(rtt_seconds=0.1, is_cut=True), 0.0)
    assert wire.offer(b"meanwhile", 0.0) is Fate.LOST
    assert wire.next_due() is None
    wire.change(Condition(rtt_seconds=0.1), 1.0)
    assert wire.offer(b"afterwards", 1.0) is Fate.CARRIED
    assert list(wire.due(2.0)) == [b"afterwards"]


def test_a_new_delay_holds_for_what_is_under_way():
    wire = Wire(Condition(rtt_seconds=20))
    wire.offer(b"one", 0.0)
    wire.change(Condition(rtt_seconds=0.2), 0.05)
    wire.offer(b"two", 0.05)
    assert list(wire.due(0.1)) == [b"one"]
    assert list(wire.due(0.2)) == [b"two"]


def test_a_faster_line_is_not_held_up_by_the_slow_one_before_it():
    wire = Wire(Condition(mbytes_per_second=0.01))
    for _ in range(10):
        wire.offer(PACKET, 0.0)
    wire.change(Condition(), 0.1)
    wire.offer(b"last", 0.1)
    arrived = list(wire.due(0.1))
    assert len(arrived) == 11
    assert arrived[-1] == b"last"


@given(
    st.lists(st.tuples(st.integers(1, 1500), st.floats(0, 0.5)), max_size=60),
    st.floats(0, 1),
    st.none() | st.floats(0.01, 10),
)
def test_order_is_kept_and_nothing_is_early_or_too_fast(sent, rtt, rate):
    condition = Condition(rtt_seconds=rtt, mbytes_per_second=rate)
    wire, now, carried = Wire(condition), 0.0, []
    for number, (size, pause) in enumerate(sent):
        now += pause
        packet = number.to_bytes(2) + b"x" * size
        if wire.offer(packet, now) is Fate.CARRIED:
            carried.append((now, packet))
    arrived = []
    while (due := wire.next_due()) is not None:
        arrived += [(due, packet) for packet in wire.due(due)]
    assert [packet for _, packet in arrived] == [packet for _, packet in carried]
    for (left, packet), (came, _) in zip(carried, arrived, strict=True):
        assert came >= left + rtt / 2 + (len(packet) / (rate * 1e6) if rate else 0) - 1e-9
