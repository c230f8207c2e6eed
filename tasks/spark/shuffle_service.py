"""Spark's external shuffle service, on loopback alone: `python -m tasks.spark.shuffle_service FOLDER PORT ADDRESS...`.

It serves the shuffle files of every executor that registers with it, at each worker's address, so that they outlive the
executor; which executors those are is kept in FOLDER, so that a new service knows them. Spark's own program for it
listens on every interface, and no setting confines it: hence the same server is made here of Spark's own classes.
Source: Spark's `ExternalShuffleService`, `ExternalBlockHandler`, `TransportContext.createServer`.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main(folder: Path, port: int, addresses: Sequence[str]) -> None:
    """Serve until killed."""
    from pyspark.java_gateway import launch_gateway

    folder.mkdir(parents=True, exist_ok=True)
    jvm: Any = launch_gateway().jvm  # type: ignore[no-untyped-call]
    network = jvm.org.apache.spark.network
    conf = network.util.TransportConf("shuffle", network.util.MapConfigProvider(jvm.java.util.HashMap()))
    handler = network.shuffle.ExternalBlockHandler(conf, jvm.java.io.File(str(folder / "registered")))
    context = network.TransportContext(conf, handler, True)
    servers = [context.createServer(address, port, jvm.java.util.ArrayList()) for address in addresses]
    print(f"{len(servers)} listeners on port {port}", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
