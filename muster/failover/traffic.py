"""The rehearsal's traffic for the report: the client's throughput on the axis of the drill's phases."""

from muster.failover.observations import (
    Cast,
    FailedBack,
    LagSeries,
    Promoted,
    Rejoined,
    Series,
    Struck,
    Verified,
)
from muster.journal import EventKind, History
from muster.summary import Column, Lag, Mark, Traffic


def traffic_of(history: History) -> Traffic | None:
    """What clients saw; `None` when no client's history was judged, or the client tried nothing."""
    series, cast = history.latest(Series), history.result("survey", Cast)
    started = history.of(EventKind.STARTED)
    if series is None or not series.bins or cast is None or not started:
        return None
    origin = started[0].mono_ns
    lag = history.latest(LagSeries)
    return Traffic(
        column_seconds=series.bin_seconds,
        servers=(cast.old, cast.new),
        columns=tuple(
            Column(
                start=(b.at_ns - origin) / 1e9,
                acknowledged=b.acknowledged,
                unknown=b.unknown,
                failed=b.failed,
                lost=b.lost,
            )
            for b in series.bins
        ),
        marks=tuple(Mark(name=name, at=(at - origin) / 1e9) for name, at in _moments(history)),
        lag=tuple(Lag(at=(s.at_ns - origin) / 1e9, bytes=s.bytes) for s in lag.samples) if lag else (),
    )


def _moments(history: History) -> list[tuple[str, int]]:
    struck, promoted = history.result("fault", Struck), history.result("promote", Promoted)
    verified, rejoined = history.result("verify", Verified), history.result("rejoin", Rejoined)
    failed_back = history.result("failback", FailedBack)
    moments = (
        (struck.scenario, struck.struck_ns) if struck else None,
        ("promoted", promoted.promoted_ns) if promoted else None,
        ("served again", verified.first_ack_ns) if verified else None,
        ("redundant again", rejoined.rejoined_ns) if rejoined else None,
        ("failback", failed_back.asked_ns) if failed_back and failed_back.timeline else None,
    )
    return [moment for moment in moments if moment is not None]
