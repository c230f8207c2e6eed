"""How a server becomes the primary's standby again: it follows as it is, it is rewound, or it is rebuilt.

Promises: nothing is thrown away before what replaces it is whole; a server whose data is not whole stays fenced; the
primary's synchronous commits wait for a standby only once that has caught up.
Sources: PostgreSQL documentation, "pg_rewind", "pg_basebackup". A rewind cut short leaves data that cannot be trusted.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from muster.errors import StepError
from tasks import unprivileged
from tasks.postgres.lsn import lsn_value
from tasks.postgres.server import Server
from tasks.process import Processes
from tasks.regions import replication
from tasks.regions.patience import SecondsLeft, wait_until
from tasks.regions.records import Fence
from tasks.regions.timeline import fork_lsn, is_standby_on_disk, read_control

if TYPE_CHECKING:
    from tasks.regions.pair import Pair

How = Literal["rewind", "rebuild", "follow"]
_STREAM_SECONDS = 60.0
_FOLLOW_SECONDS = 20.0
"""A standby that may not fit is given up after this, and rebuilt."""
_TOOL_SECONDS = 600.0


def rejoin(pair: "Pair", name: str, primary: str, left: SecondsLeft, tools: Processes) -> tuple[How, str]:
    """Make sure that the server streams from the primary; which way was taken, and why that."""
    leader = pair.server(primary)
    if not replication.answers(leader) or replication.is_standby(leader):
        raise StepError(f"{primary} is not a primary that {name} could follow", "promote it first")
    replication.ensure_slot(leader, name)
    how, why = _bring_back(pair, name, primary, left, tools)
    replication.drop_slot(pair.server(name), primary)
    replication.set_synchronous(leader, "*")
    return how, why


def _bring_back(pair: "Pair", name: str, primary: str, left: SecondsLeft, tools: Processes) -> tuple[How, str]:
    is_whole = pair.records.fence(name) is not Fence.UNFINISHED
    if is_whole and is_standby_on_disk(pair.server(name)):
        return _follow(pair, name, primary, left, tools)
    pair.fence(name)
    if is_whole and _is_behind_fork(pair, name, primary):
        _serve_as_standby(pair, name, primary, left, _STREAM_SECONDS)
        return "follow", "all of its log is in the primary's"
    if not is_whole:
        return _rebuild(pair, name, primary, left, tools, "an earlier rejoin was cut short")
    return _rewind(pair, name, primary, left, tools)


def _follow(pair: "Pair", name: str, primary: str, left: SecondsLeft, tools: Processes) -> tuple[How, str]:
    """It was a standby: what it lacks it gets, unless the primary has no more of it, or went another way."""
    streams = pair.is_running(name) and replication.is_caught_up(pair.server(primary), name, "0/0")
    try:
        _serve_as_standby(pair, name, primary, left, _FOLLOW_SECONDS)
    except StepError as error:
        left()
        return _rebuild(pair, name, primary, left, tools, f"it could not follow: {error.message}")
    return "follow", "it streams already" if streams else "it was a standby, and still fits"


def _is_behind_fork(pair: "Pair", name: str, primary: str) -> bool:
    """Whether a server that shut down in good order did so before the primary went its own way."""
    server, leader = pair.server(name), pair.server(primary)
    try:
        control = read_control(server)
    except StepError:
        return False
    fork = fork_lsn(leader, replication.position(leader).timeline, control.timeline)
    return control.is_clean and fork is not None and lsn_value(fork) > lsn_value(control.checkpoint_lsn)


def _rewind(pair: "Pair", name: str, primary: str, left: SecondsLeft, tools: Processes) -> tuple[How, str]:
    server = pair.server(name)
    pair.records.write_fence(name, Fence.UNFINISHED)
    (server.data / "postmaster.pid").unlink(missing_ok=True)  # its pid may be a zombie's, or somebody else's
    argv: list[str | Path] = [server.binaries.tool("pg_rewind"), "--target-pgdata", server.data, "--no-sync"]
    argv += ["--source-server", pair.address_of(primary, seen_from=name)]
    done = _run(server, argv, "pg_rewind.log", left, tools)
    if isinstance(done, StepError):
        return _rebuild(pair, name, primary, left, tools, f"pg_rewind failed: {done.message}")
    _serve_as_standby(pair, name, primary, left, _STREAM_SECONDS)
    if "no rewind required" in done:
        return "follow", "pg_rewind: no rewind required"
    return "rewind", "its log had diverged"


def _rebuild(pair: "Pair", name: str, primary: str, left: SecondsLeft, tools: Processes, why: str) -> tuple[How, str]:
    """A new base backup over the link. Its slot is temporary: the standby's may still be held by a dead walsender."""
    pair.fence(name)
    server = pair.server(name)
    fresh = server.data.with_name(f"{name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    unprivileged.hand_over(fresh)
    source = pair.address_of(primary, seen_from=name)
    argv: list[str | Path] = [server.binaries.tool("pg_basebackup"), "--dbname", source, "--pgdata", fresh]
    argv += ["--checkpoint=fast", "--wal-method=stream", "--no-sync"]
    done = _run(server, argv, "pg_basebackup.log", left, tools)
    if isinstance(done, StepError):
        shutil.rmtree(fresh, ignore_errors=True)
        raise StepError(f"{name} could not be rebuilt ({why}): {done.message}", done.advice)
    pair.records.write_fence(name, Fence.UNFINISHED)
    if server.data.exists():  # a rebuild that was cut short has removed it already
        shutil.rmtree(server.data)
    fresh.rename(server.data)
    _serve_as_standby(pair, name, primary, left, _STREAM_SECONDS)
    return "rebuild", why


def _run(server: Server, argv: list[str | Path], log: str, left: SecondsLeft, tools: Processes) -> str | StepError:
    """What the tool said, or how it failed. A drill that is out of time fails here, and not as the tool."""
    left()
    try:
        timeout = min(_TOOL_SECONDS, left())
        return tools.run(argv, log=log, timeout=timeout, unprivileged=True, network=server.network).output
    except StepError as error:
        left()
        return error


def _serve_as_standby(pair: "Pair", name: str, primary: str, left: SecondsLeft, at_most: float) -> None:
    """Started as standby, no longer fenced, it has all that the primary had a moment ago."""
    server, leader = pair.server(name), pair.server(primary)
    (server.data / "standby.signal").touch()
    unprivileged.hand_over(server.data / "standby.signal")
    pair.records.write_fence(name, None)
    lsn = replication.write_mark(leader)
    pair.start_server(name)
    replication.resume_replay(server)
    words = f"{name} to stream from {primary} and apply {lsn}"
    wait_until(lambda: replication.is_caught_up(leader, name, lsn), words, left, at_most=at_most)
