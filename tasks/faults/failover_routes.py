"""What stands between the clients of a failover form and its servers: a pooler that lies, or a real HAProxy."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from tasks.faults.base import wait_for
from tasks.faults.failover_proxy import Lie
from tasks.faults.failover_stage import Route, Stage
from tasks.regions.pair import DATABASE, Pair

_HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin")
_PORT = 5432
_POINT = 'printf %s "$MUSTER_NODE" > "$0.part" && mv "$0.part" "$0"'
_FAIL_AWAY = f'[ "$MUSTER_NODE" = a ] || {{ echo "no such record" >&2; exit 1; }}; {_POINT}'


def has_haproxy() -> bool:
    """Whether this machine has one."""
    return _HAPROXY is not None


def pooler(lie: Lie = Lie.NONE, order: str = _POINT) -> Route:
    """Clients come through a pooler of ours, ruled by a hook."""

    @contextmanager
    def route(stage: Stage) -> Iterator[Mapping[str, Any]]:
        folder = stage.sockets / "p"
        folder.mkdir()
        (folder / "to").write_text("a", encoding="utf-8")
        nodes = [f"{name}={_socket(stage, name)}" for name in Pair.NAMES]
        argv: list[str | Path] = [sys.executable, "-m", "tasks.faults.failover_proxy", folder, lie, *nodes]
        stage.processes.start("pooler", argv, log="pooler.log")
        dsn = _dsn(folder)
        wait_for(lambda: PGconn.ping(dsn.encode()) == Ping.OK, "the pooler")
        yield {"type": "hook", "command": ["/bin/sh", "-c", order, str(folder / "to")], "dsn": dsn}

    return route


failing = pooler(order=_FAIL_AWAY)
"""A route whose command fails on the way out."""


@contextmanager
def haproxy(stage: Stage) -> Iterator[Mapping[str, Any]]:
    """Debian's HAProxy, ruled by its runtime socket."""
    folder = stage.sockets / "p"
    folder.mkdir()
    config = folder / "haproxy.cfg"
    servers = "\n".join(
        f"  server {Pair.REGIONS[name]} unix@{_socket(stage, name)} {'' if name == 'a' else 'disabled'}"
        for name in Pair.NAMES
    )
    config.write_text(
        f"""
global
  stats socket {folder}/admin mode 600 level admin
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
frontend clients
  bind unix@{folder}/.s.PGSQL.{_PORT} mode 600
  default_backend regions
backend regions
{servers}
""",
        encoding="utf-8",
    )
    stage.processes.start("haproxy", [str(_HAPROXY), "-db", "-f", config], log="haproxy.log")
    dsn = _dsn(folder)
    wait_for(lambda: PGconn.ping(dsn.encode()) == Ping.OK, "HAProxy")
    yield {
        "type": "haproxy",
        "socket": f"{folder}/admin",
        "backend": "regions",
        "dsn": dsn,
        "servers": dict(Pair.REGIONS),
    }


def _socket(stage: Stage, name: str) -> Path:
    server = stage.pair.server(name)
    return server.sockets / f".s.PGSQL.{server.port}"


def _dsn(folder: Path) -> str:
    return make_conninfo(host=str(folder), port=_PORT, user="postgres", dbname=DATABASE, connect_timeout=10)
