"""What each server of a pair says of itself: role, position, lag, slots, settings. Read-only, bounded, side by side.

Source: PostgreSQL documentation, "Monitoring Database Activity", "System Administration Functions". Needs the role
`pg_monitor`, and `pg_read_all_data` where sequences feed tables of others.
"""

import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from muster.failover.observations import Node, NodeState, Slot, Surveyed
from tasks.postgres.bounded import connected
from tasks.postgres.rungs import ask_sequences

SERVER = """
current_setting('cluster_name') || '/' || (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint || '/' ||
case when pg_is_in_recovery() then
  (select coalesce(max(received_tli), 0) from pg_stat_wal_receiver)
else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int end
"""
"""Tells a server process from any other, in one text. The timeline is the log's: pg_control lags a promotion."""

_ASK = f"""
select pg_is_in_recovery() as standby,
       (select system_identifier::text from pg_control_system()) as system_identifier,
       {SERVER} as server,
       current_setting('server_version_num')::int as version_num,
       case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text as lsn,
       (select sender_host || ':' || sender_port from pg_stat_wal_receiver
         where status = 'streaming') as receiving_from,
       case when pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() then 0
            else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) end::float as lag_seconds,
       pg_last_wal_receive_lsn()::text as received,
       greatest(0, pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()))::bigint as lag_bytes,
       (select array_agg(application_name order by application_name) from pg_stat_replication
         where state = 'streaming') as standbys,
       (select array_agg(application_name order by application_name) from pg_stat_replication
         where sync_state in ('sync', 'quorum')) as sync_standbys,
       (select extract(epoch from max(write_lag))::float from pg_stat_replication) as write_lag,
       (select json_agg(json_build_object('name', slot_name, 'active', active, 'wal_status', wal_status,
                 'retained_bytes', pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                                                        else pg_current_wal_lsn() end, restart_lsn)::bigint)
                 order by slot_name)
          from pg_replication_slots where slot_type = 'physical') as slots,
       (select json_object_agg(name, setting) from pg_settings where name in
         ('wal_log_hints', 'data_checksums', 'synchronous_standby_names', 'synchronous_commit', 'full_page_writes',
          'max_slot_wal_keep_size', 'wal_keep_size', 'data_directory', 'cluster_name')) as settings,
       (select json_object_agg(extname, extversion) from pg_extension) as extensions,
       extract(epoch from clock_timestamp())::float as clock
"""

_CATCH_UP_SECONDS = 0.5


def survey(nodes: Sequence[Node], stage: str, seconds: float) -> Surveyed:
    """Every node's state, asked at the same time; one that does not answer within `seconds` is unreachable."""
    with ThreadPoolExecutor(max_workers=max(1, len(nodes))) as pool:
        return Surveyed(stage=stage, nodes=tuple(pool.map(lambda node: survey_node(node, seconds), nodes)))


def survey_node(node: Node, seconds: float) -> NodeState:
    """One node's state. Nothing is raised for a server that is down: that is a state."""
    asked_at = datetime.now(UTC)
    try:
        with connected(node.dsn, seconds) as connection:
            before, began = time.time(), time.monotonic()
            answer = _ask(connection)
            round_trip = time.monotonic() - began
            lag = _replay_lag(connection, answer) if answer["standby"] else None
            sequences = None if answer["standby"] else ask_sequences(connection)
    except psycopg.Error as error:
        said = str(error).strip().splitlines()
        return NodeState(
            node=node.name, region=node.region, asked_at=asked_at, role="unreachable", complaint=said[0] if said else ""
        )
    return NodeState(
        node=node.name,
        region=node.region,
        asked_at=asked_at,
        role="standby" if answer["standby"] else "primary",
        system_identifier=answer["system_identifier"],
        server=answer["server"],
        timeline=int(answer["server"].rpartition("/")[2]),
        version_num=answer["version_num"],
        lsn=answer["lsn"] or "",
        receiving_from=answer["receiving_from"] or "",
        replay_lag_seconds=lag,
        replay_lag_bytes=answer["lag_bytes"] if answer["standby"] else None,
        write_lag_seconds=answer["write_lag"],
        sync_standbys=tuple(answer["sync_standbys"] or ()),
        standbys=tuple(answer["standbys"] or ()),
        slots=tuple(Slot.model_validate(slot) for slot in answer["slots"] or ()),
        settings=answer["settings"] or {},
        extensions=answer["extensions"] or {},
        sequences_behind=sequences.problems if sequences else (),
        sequences_unseen=sequences.error if sequences else "",
        clock_offset_seconds=answer["clock"] - (before + round_trip / 2),
        round_trip_seconds=round_trip,
        free_share=_free_share(node, answer["settings"] or {}),
    )


def _ask(connection: psycopg.Connection[tuple[Any, ...]]) -> dict[str, Any]:
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute(_ASK.encode()).fetchone()
    if row is None:
        raise psycopg.OperationalError("the server gave no answer")
    return row


def _replay_lag(connection: psycopg.Connection[tuple[Any, ...]], answer: dict[str, Any]) -> float | None:
    """Seconds: how long it takes to apply what it has received now, and when that is too long, by the log's own times.

    Those alone mislead: when the primary was at rest, the last transaction is old, however little is to be applied.
    """
    lag: float | None = answer["lag_seconds"]
    if lag == 0 or not answer["received"]:
        return lag
    began = time.monotonic()
    while (waited := time.monotonic() - began) < _CATCH_UP_SECONDS:
        row = connection.execute("select pg_last_wal_replay_lsn() >= %s::pg_lsn", [answer["received"]]).fetchone()
        if row and row[0]:
            return waited
        time.sleep(0.01)
    return lag


def _free_share(node: Node, settings: dict[str, str]) -> float | None:
    """Of the disk under a server of this machine, which a unix socket tells."""
    data = settings.get("data_directory")
    if not data or not str(conninfo_to_dict(node.dsn).get("host", "")).startswith("/") or not Path(data).is_dir():
        return None
    disk = shutil.disk_usage(data)
    return disk.free / disk.total
