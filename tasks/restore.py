"""The verbs of a restore drill: choose, fetch, restore, replay, compare, promote, inspect, and their undos.

Promises: nothing outside the run's own folders is written; the restored server reaches no one; a fault of the drilled
system is a `SystemFailure`, a fault of the drill any other error.
"""

import os
import random
import secrets
import shutil
import signal
from collections.abc import Iterable
from datetime import timedelta

from muster.drill import Context
from muster.errors import Refusal, SystemFailure
from muster.redaction import known_secrets
from muster.restore.observations import (
    Backup,
    Chosen,
    Fetched,
    Inspected,
    PointReached,
    Reference,
    Replayed,
    Restored,
    Served,
    SourceMark,
)
from muster.restore.spec import BackupChoice, RecoveryTarget, RestoreSpec
from tasks import recovery
from tasks.inspection import inspect_at_reference, inspect_restored
from tasks.postgres.binaries import Binaries, find_binaries
from tasks.postgres.lsn import lsn_value, segment_number, segment_of_name
from tasks.postgres.server import Server
from tasks.process import Processes, Signals
from tasks.targets.restorable import Restorable, Work

ROOM_TO_RESTORE = 1.2  # times the backup's size: the data and the log replayed on top of it
_SERVER = "restored"
_AT_ONCE: Signals = ((signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
"""PostgreSQL's immediate shutdown: nothing is written that is about to be deleted."""


def choose_backup(context: Context) -> Chosen:
    """Choose the backup by the plan's rule, and note what a loss at this moment would cost."""
    spec, target = _spec(context), _target(context)
    context.observe(target.identify())
    archive_end = target.archive_end()  # before the mark, so that the loss is never told too small
    context.observe(_mark(context, spec, target))
    candidates = eligible_backups(target.backups(), spec, context)
    if not candidates:
        raise SystemFailure(
            "no backup fits the plan: none ended in its window and before its recovery target",
            "look at the backup job, or widen `backup.within`",
        )
    seed = spec.backup.seed if spec.backup.seed is not None else secrets.randbits(32)
    backup = pick(candidates, spec.backup, seed)
    binaries = find_binaries(spec.postgres_bin, backup.major)
    _assert_room(context, backup)
    return Chosen(
        backup=backup,
        candidates=len(candidates),
        rule=_rule(spec.backup),
        seed=seed if spec.backup.choose == "random" else None,
        reference=(fitting_reference(target.references(), backup, spec.recovery, archive_end) if spec.rows else None),
        archive_end=archive_end,
        binaries=binaries.folder,
        server_version=binaries.version,
        binaries_found=binaries.source,
    )


def eligible_backups(backups: Iterable[Backup], spec: RestoreSpec, context: Context) -> tuple[Backup, ...]:
    """Backups inside the plan's window that ended before its recovery target, oldest first."""
    now, choice, to = context.clock.now(), spec.backup, spec.recovery
    kept = sorted(backups, key=lambda b: b.taken_at)
    if choice.choose == "named":
        kept = [b for b in kept if b.label == choice.name]
    if choice.within is not None:
        kept = [b for b in kept if now - b.taken_at <= choice.within]
    if to.time is not None:
        kept = [b for b in kept if b.taken_at <= to.time]
    if to.lsn is not None:
        kept = [b for b in kept if b.stop_lsn is None or lsn_value(b.stop_lsn) <= lsn_value(to.lsn)]
    return tuple(kept)


def pick(candidates: tuple[Backup, ...], choice: BackupChoice, seed: int) -> Backup:
    """The newest, or one drawn by the seed; the seed is evidence, so the draw can be repeated."""
    if choice.choose == "random":
        return random.Random(seed).choice(candidates)  # noqa: S311 - a sample, not a secret
    return candidates[-1]


def fitting_reference(
    references: Iterable[Reference], backup: Backup, to: RecoveryTarget, archive_end: str | None
) -> Reference | None:
    """The newest reference that the chosen backup can be compared with on the way to the recovery target."""
    if backup.form == "dump":
        return next((r for r in references if r.point == backup.label), None)
    fitting = [r for r in references if backup.stop_lsn is None or lsn_value(r.lsn) >= lsn_value(backup.stop_lsn)]
    if archive_end is not None:
        fitting = [r for r in fitting if segment_number(r.lsn) <= segment_of_name(archive_end)]
    if to.name is not None:
        fitting = [r for r in fitting if r.point == to.name]
    if to.time is not None:
        fitting = [r for r in fitting if r.taken_at <= to.time]
    if to.lsn is not None:
        fitting = [r for r in fitting if lsn_value(r.lsn) <= lsn_value(to.lsn)]
    return max(fitting, key=lambda r: lsn_value(r.lsn), default=None)


def fetch_backup(context: Context) -> Fetched:
    """Bring the backup's files where they can be read."""
    return _target(context).fetch(_chosen(context).backup, _work(context))


def restore_backup(context: Context) -> Restored:
    """Restore into the scratch folder; the backup's own bytes are judged beside it."""
    chosen, fetched, work = _chosen(context), context.result("fetch", Fetched), _work(context)
    target, beside = _target(context), _work(context)

    def audit() -> None:
        for observation in target.audit(chosen.backup, fetched, beside):
            context.observe(observation)

    context.background.start("audit", audit, end=beside.processes.end)
    return target.restore(chosen.backup, fetched, work)


def replay_log(context: Context) -> Replayed:
    """Start the restored server and replay the log to the reference, the target, or the end."""
    restored, spec, chosen = context.result("restore", Restored), _spec(context), _chosen(context)
    server = _server(context)
    if restored.running:
        return Replayed(stage="end", lsn=recovery.current_lsn(server))
    stop = recovery.Stop.at_reference(chosen.reference) or recovery.Stop.at_target(spec.recovery)
    lsn = recovery.replay(server, restored, stop, _chosen(context).archive_end, context.seconds_left)
    is_target = chosen.reference is None or chosen.reference.point == spec.recovery.name
    if stop and is_target:
        context.observe(PointReached(asked=stop.words, reached=True, seen=f"recovery paused there, at {lsn}"))
    return Replayed(stage="end" if stop is None else "target" if is_target else "reference", lsn=lsn)


def compare_with_reference(context: Context) -> Inspected:
    """While recovery stands still at the reference: every table's rows, and the canaries on both sides."""
    chosen, replayed = _chosen(context), context.result("replay", Replayed)
    at_reference = chosen.reference is not None and (replayed.stage != "end" or chosen.backup.form == "dump")
    if not at_reference and replayed.stage == "end":
        return Inspected(rungs=())
    return inspect_at_reference(context, _server(context), _spec(context), chosen.reference)


def promote_restored(context: Context) -> Served:
    """Go on to the recovery target and leave recovery: from here the restored server could serve."""
    restored, replayed, spec = context.result("restore", Restored), context.result("replay", Replayed), _spec(context)
    server = _server(context)
    if replayed.stage == "target":
        recovery.leave_recovery(server, context.seconds_left)
    elif replayed.stage == "reference":
        recovery.halt(server)
        stop = recovery.Stop.at_target(spec.recovery)
        lsn = recovery.replay(server, restored, stop, _chosen(context).archive_end, context.seconds_left)
        if stop:
            context.observe(PointReached(asked=stop.words, reached=True, seen=f"recovery paused there, at {lsn}"))
            recovery.leave_recovery(server, context.seconds_left)
    return recovery.served(server)


def inspect(context: Context) -> Inspected:
    """Look at everything the plan asks for in the restored database."""
    done = inspect_restored(context, _server(context), _spec(context))
    context.background.gather("audit", context.seconds_left)
    return done


def stop_server(context: Context) -> None:
    """Make sure that no process of this run is left."""
    processes = Processes(context.workspace.records, context.workspace.logs)
    processes.stop(_SERVER, signals=_AT_ONCE)
    processes.stop_all()
    if context.workspace.sockets.exists():
        shutil.rmtree(context.workspace.sockets)


def drop_scratch(context: Context) -> None:
    """Make sure that nothing restored or fetched is left."""
    stop_server(context)
    if context.workspace.scratch.exists():
        shutil.rmtree(context.workspace.scratch)


def _assert_room(context: Context, backup: Backup) -> None:
    context.workspace.scratch.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(context.workspace.scratch).free
    if free < backup.bytes * ROOM_TO_RESTORE:
        raise Refusal(
            f"no room to restore {backup.label}: it needs {backup.bytes * ROOM_TO_RESTORE / 2**20:.0f} MiB,"
            f" {free / 2**20:.0f} MiB are free under {context.workspace.root}",
            "free some space, or point MUSTER_HOME at a larger disk",
        )


def _mark(context: Context, spec: RestoreSpec, target: Restorable) -> SourceMark:
    mark = target.source_mark(spec.canary, spec.database) if spec.canary else None
    return mark or SourceMark(canary_id=None, written_at=None, seen_at=context.clock.now(), source="the drill's clock")


def _rule(choice: BackupChoice) -> str:
    window = f" within {_words(choice.within)}" if choice.within else ""
    return f"named {choice.name}" if choice.choose == "named" else f"{choice.choose}{window}"


def _words(span: timedelta) -> str:
    return str(span).removesuffix(", 0:00:00")


def _spec(context: Context) -> RestoreSpec:
    if context.plan.restore is None:
        raise Refusal(f"plan {context.plan.name} has no section 'restore'", "add it; see docs/restore.md")
    return context.plan.restore


def _target(context: Context) -> Restorable:
    target: Restorable = context.target
    return target


def _chosen(context: Context) -> Chosen:
    return context.result("choose", Chosen)


def _binaries(context: Context) -> Binaries:
    chosen = _chosen(context)
    return find_binaries(chosen.binaries, chosen.backup.major)


def _work(context: Context) -> Work:
    return Work(
        workspace=context.workspace,
        # What a tool says can end in an error's message, and so in the journal.
        processes=Processes(context.workspace.records, context.workspace.logs, known_secrets(os.environ)),
        binaries=_binaries(context),
        spec=_spec(context),
        seconds_left=context.seconds_left,
        archive_end=_chosen(context).archive_end,
    )


def _server(context: Context) -> Server:
    work = _work(context)
    return Server(work.binaries, work.data, context.workspace.sockets, work.processes, _SERVER)
