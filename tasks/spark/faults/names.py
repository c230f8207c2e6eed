"""Names of master and driver that lead a JVM where a hosts file of its own says: to them, or to a door of ours.

A JVM that has such a file knows no names but those in it. Source: Java's "Networking Properties", `jdk.net.hosts.file`.
"""

import socket
from collections.abc import Mapping
from pathlib import Path

from tasks.estate.loopback import HOST

MASTER, DRIVER = "muster-master", "muster-driver"


def environment(file: Path, address: str, public: str) -> Mapping[str, str]:
    """Write the hosts file by which both names lead to an address; the variables that make a JVM use it.

    `public` is how the JVM names itself to those who have no such file, as browsers and we.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{HOST} localhost {socket.gethostname()}", f"{address} {MASTER} {DRIVER}"]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return {"JAVA_TOOL_OPTIONS": f'"-Djdk.net.hosts.file={file}"', "SPARK_PUBLIC_DNS": public}
