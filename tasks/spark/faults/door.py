"""A worker's way to master and driver: `python -m tasks.spark.faults.door ADDRESS PORT...`.

Whoever connects to one of the ports at ADDRESS, a loopback address that only this worker's processes are told, is
carried to the same port at 127.0.0.1. Stopped (SIGSTOP), it is a cut: what is on its way is held back, what is new
waits, nobody is told. When it goes on (SIGCONT), all goes on. What carries the bytes is the proxy of an emulated link.
"""

import asyncio
import socket
import sys
from collections.abc import Sequence

from tasks.link.condition import Condition
from tasks.link.proxy import Proxy


async def serve(address: str, ports: Sequence[int]) -> None:
    """Carry until killed."""
    proxy = Proxy(Condition())
    async with asyncio.TaskGroup() as serving:
        for port in ports:
            listener = socket.create_server((address, port))
            listener.setblocking(False)
            serving.create_task(proxy.serve(0, listener, port))


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], [int(word) for word in sys.argv[2:]]))
