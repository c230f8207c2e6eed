"""The ledger's URL taken apart without SQLAlchemy, in the way SQLAlchemy takes it apart.

Promises: what `open_ledger` can open is understood alike here; no message holds a password.
"""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

SQLITE = "sqlite:///"
_POSTGRES = ("postgres", "postgresql", "postgresql+psycopg")


def sqlite_file(url: str) -> str | None:
    """The file behind the URL of a SQLite ledger; `None` for any other address, and for one with options."""
    return url.removeprefix(SQLITE) if url.startswith(SQLITE) and "?" not in url else None


def postgres_arguments(url: str) -> dict[str, Any] | None:
    """What psycopg connects with; `None` for an address that is not PostgreSQL's, or that is not understood.

    Several hosts come as `?host=a:5432&host=b:5432` or `?host=a,b&port=5432,5433`; libpq tries them in turn and
    `target_session_attrs=read-write` makes it stay with the primary.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _POSTGRES:
        return None
    try:
        parts = urlsplit(f"postgresql://{rest}")
        given = {"host": parts.hostname, "port": parts.port, "user": parts.username, "password": parts.password}
    except ValueError:
        return None
    arguments: dict[str, Any] = {
        name: unquote(value) if isinstance(value, str) else value for name, value in given.items() if value
    }
    if parts.path.strip("/"):
        arguments["dbname"] = unquote(parts.path.removeprefix("/"))
    query = parse_qs(parts.query, keep_blank_values=True)
    hosts = query.pop("host", [])
    arguments |= {name: ",".join(values) for name, values in query.items()}
    return arguments | _hosts(hosts, has_ports="port" in query)


def _hosts(hosts: list[str], *, has_ports: bool) -> dict[str, str]:
    """`a:1` is a host and its port, unless ports come by themselves; a path is the folder of a socket."""
    if not hosts:
        return {}
    if len(hosts) == 1 and ("," in hosts[0] or has_ports or hosts[0].startswith("/")):
        return {"host": hosts[0]}
    names, ports = zip(*(host.partition(":")[::2] for host in hosts), strict=True)
    port = ",".join(ports)
    return {"host": ",".join(names)} | ({"port": port} if port else {})
