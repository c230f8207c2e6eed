"""How a restore is timed and told: phases, both readings of the RTO, the RPO, extrapolation, facts."""

from datetime import timedelta
from pathlib import Path

from muster.identity import Identity
from muster.journal import EventKind, History, Journal
from muster.restore.observations import (
    CanaryState,
    Fetched,
    Inspected,
    Replayed,
    Restored,
    Served,
    SourceMark,
)
from muster.restore.telling import remember, tell
from muster.restore.timing import phases, recovery_seconds
from tests.unit.test_restore_checks import AT, Clock, Memory, canary, chosen, plan, rows, table

GIB = 2**30
RESULTS = {
    "choose": chosen()["choose"],
    "fetch": Fetched(path=Path("/b"), bytes=1),
    "restore": Restored(data=Path("/d"), bytes=GIB),
    "replay": Replayed(stage="reference", lsn="0/1"),
    "compare": Inspected(rungs=()),
    "promote": Served(lsn="0/2", timeline=2, segment=8),
    "inspect": Inspected(rungs=()),
}
MARK = SourceMark(canary_id=9, written_at=AT, seen_at=AT, source="asked the source")
BACK = canary("target", newest_id=6, newest_at=AT - timedelta(seconds=3))


def journal() -> Journal:
    opened = Journal("run", Memory(), Clock())
    opened.append(EventKind.OPENED, machine="here")
    return opened


def walk(upto: str = "inspect", *, undo: bool = True) -> History:
    """Steps of a second each up to one, observations, and the undo. The clock ticks a second at every event."""
    writer = journal()
    for step, result in RESULTS.items():
        writer.append(EventKind.STARTED, step)
        if step == upto and upto != "inspect":
            break
        writer.append(EventKind.SUCCEEDED, step, result=result.model_dump(mode="json"))
    for observation in (MARK, BACK, Identity(description="the shop", system_identifier="7", proof="it was asked")):
        writer.observe(observation)
    for step in writer.history.needs_undo() if undo else ():
        writer.append(EventKind.UNDO_STARTED, step)
        writer.append(EventKind.UNDONE, step)
    return writer.history


def test_phases_are_the_steps_then_one_undo() -> None:
    told = phases(walk())
    assert [p.name for p in told] == [*RESULTS, "undo"]
    assert {p.name: p.lane for p in told}["compare"] == "verification"
    assert all(p.seconds == 1 for p in told if p.lane != "undo")
    assert told[-1].seconds > 1
    assert phases(journal().history) == ()


def test_an_undo_that_failed_stands_by_itself() -> None:
    writer = journal()
    writer.append(EventKind.STARTED, "restore")
    writer.append(EventKind.UNDO_STARTED, "restore")
    writer.append(EventKind.UNDO_FAILED, "restore", message="stuck")
    assert [(p.name, p.state) for p in phases(writer.history)][1:] == [("undo", "failed"), ("undo restore", "failed")]


def test_a_step_in_which_the_process_died_is_cut_short() -> None:
    assert {p.name: p.state for p in phases(walk("replay", undo=False))}["replay"] == "cut short"


def test_the_rto_counts_verification_only_until_verified() -> None:
    history = walk()
    assert recovery_seconds(history, "serving").seconds == 5  # choose, fetch, restore, replay, promote
    assert recovery_seconds(history, "verified").seconds == 7
    assert recovery_seconds(history, "verified").complete


def test_an_unfinished_recovery_has_no_rto() -> None:
    history = walk("replay")
    assert not recovery_seconds(history, "serving").complete
    rto, _ = tell(history, plan()).measures
    assert rto.measured is None


def test_measures_stand_beside_their_objectives() -> None:
    rto, rpo = tell(walk(), plan(objectives={"rto": "10s", "rpo": "2s"})).measures
    assert (rto.measured, rto.objective, rto.verdict) == (7, 10, "pass")
    assert "5.0 s until serving" in rto.note
    assert (rpo.measured, rpo.objective, rpo.verdict) == (3, 2, "fail")
    assert "3 canaries lost" in rpo.note


def test_a_chosen_point_measures_no_rpo() -> None:
    _, rpo = tell(walk(), plan(recovery={"to": "name", "name": "monday"})).measures
    assert rpo.measured is None


def test_a_sample_is_extrapolated_in_proportion_to_its_bytes() -> None:
    rto, _ = tell(walk(), plan(sample_of_bytes=100 * GIB)).measures
    assert "8 m 20 s" in rto.note
    rto, _ = tell(walk(), plan()).measures
    assert "proportion" not in rto.note


def test_the_target_is_told_with_its_proof() -> None:
    assert tell(walk(), plan()).target == "embedded: the shop (system identifier 7, it was asked)"
    assert tell(journal().history, plan()).target == "embedded, which proved no identity"


def test_rows_are_remembered_for_the_next_run() -> None:
    writer = journal()
    writer.observe(rows(table("a", 10, "x")))
    assert remember(writer.history) == {"rows": {"a": 10}}
    assert remember(journal().history) == {}


def test_a_recovery_newer_than_the_mark_has_lost_nothing() -> None:
    writer = journal()
    writer.observe(MARK)
    writer.observe(
        CanaryState.model_validate(BACK.model_dump() | {"newest_at": AT + timedelta(seconds=1), "newest_id": 10})
    )
    _, rpo = tell(writer.history, plan()).measures
    assert rpo.measured == 0
