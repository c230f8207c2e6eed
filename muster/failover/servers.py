"""What the name of a server process says: `cluster_name/start in microseconds since 1970/timeline`.

A process that is promoted keeps its name and start and gets a new timeline; a session opened before may still carry the
old one. Two nodes may have one cluster name, as with Patroni; they never have one start.
"""

from collections.abc import Mapping


def process_of(server: str) -> str:
    """The server without its timeline: it names one process of one node, promoted or not. Empty for nobody."""
    return server.rpartition("/")[0] or server


def timeline_of(server: str) -> int | None:
    """The timeline, or `None` when the name has none; 0 is what a standby says that streams from nobody."""
    word = server.rpartition("/")[2]
    return int(word) or None if word.isdecimal() else None


def node_of(server: str, servers: Mapping[str, str]) -> str:
    """The node of a server, `servers` being what the surveys saw; empty for a process that none of them saw."""
    if server in servers:
        return servers[server]
    process = process_of(server)
    return next((node for known, node in servers.items() if server and process_of(known) == process), "")
