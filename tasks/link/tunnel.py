"""The carrier between two network namespaces: `python -m tasks.link.tunnel FOLDER NETWORK NETWORK`.

Each namespace gets a TUN device; what the kernel sends into one comes out of the other, late, or not at all.

Promises: started again it finds devices and addresses as they were, for the devices belong to their namespaces and
not to this process: while it is dead they swallow everything, as a cut does. Where packets are counted, for loss or
rate, none is longer than the MTU; only a perfect line takes TCP's segments in bulk, for speed.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tasks.link import control
from tasks.link.condition import Condition
from tasks.link.control import Counts
from tasks.link.wire import Fate, Wire

ADDRESSES = ("192.0.2.1", "192.0.2.2")
"""TEST-NET-1 of RFC 5737: addresses that are nobody's. They are seen in the two namespaces alone."""
DEVICE = "wan"
MTU = 1500
_QUEUE = 1000
"""Packets that may wait for this process."""
_BATCH = 64
"""Packets read in one go, so that neither direction starves the other."""
_LONGEST_PACKET = 65_550 + 64

_CLONE_NEWNET = 0x40000000  # sched.h
# linux/if_tun.h. With IFF_VNET_HDR ten bytes come before each packet that say what the kernel left undone (checksum,
# segmentation); they are carried over as they are, and counted in place of a frame's header.
_TUNSETIFF, _TUNSETPERSIST, _TUNSETOFFLOAD = 0x400454CA, 0x400454CB, 0x400454D0
_IFF_TUN, _IFF_NO_PI, _IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
_CHECKSUM, _TSO4, _TSO6 = 1, 2, 4

_LIBC = ctypes.CDLL(None, use_errno=True)


class Tunnel:
    """Two devices and a wire each way."""

    def __init__(self, devices: tuple[int, int], condition: Condition) -> None:
        self.condition = condition
        self.counts = Counts()
        self._devices = devices
        self._wires = (Wire(condition), Wire(condition))
        self._loop = asyncio.get_running_loop()
        self._alarms: list[asyncio.TimerHandle | None] = [None, None]
        self._let_bulk()
        for side in (0, 1):
            self._loop.add_reader(devices[side], self._take, side)

    def change(self, condition: Condition) -> None:
        """Another condition, from now on, for packets under way too."""
        self.condition = condition
        self._let_bulk()
        for side, wire in enumerate(self._wires):
            wire.change(condition, self._loop.time())
            self._deliver(side)

    def _take(self, side: int) -> None:
        """Take in what one namespace sends."""
        device, wire = self._devices[side], self._wires[side]
        for _ in range(_BATCH):
            try:
                packet = os.read(device, _LONGEST_PACKET)
            except BlockingIOError:
                break
            self._count(wire.offer(packet, self._loop.time()))
        self._deliver(side)

    def _deliver(self, side: int) -> None:
        """Hand over what has arrived, and come back for the next."""
        wire = self._wires[side]
        for packet in wire.due(self._loop.time()):
            with contextlib.suppress(OSError):  # a device that is down takes nothing
                os.write(self._devices[1 - side], packet)
        alarm, due = self._alarms[side], wire.next_due()
        if alarm is not None:
            alarm.cancel()
        self._alarms[side] = None if due is None else self._loop.call_at(due, self._deliver, side)

    def _count(self, fate: Fate) -> None:
        if fate is Fate.CARRIED:
            self.counts.carried += 1
        elif fate is Fate.LOST:
            self.counts.lost += 1
        else:
            self.counts.refused += 1

    def _let_bulk(self) -> None:
        """Let the kernel leave segmentation to the other end, where that changes nothing."""
        counted = self.condition.loss or self.condition.bytes_per_second
        for device in self._devices:
            fcntl.ioctl(device, _TUNSETOFFLOAD, 0 if counted else _CHECKSUM | _TSO4 | _TSO6)


def open_device(network: Path, own: str, other: str) -> int:
    """The TUN device of a namespace, made and set up unless it is there already."""
    with inside(network):
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        request = struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR)
        fcntl.ioctl(device, _TUNSETIFF, request)
        fcntl.ioctl(device, _TUNSETPERSIST, 1)
        lines = (
            "link set dev lo up",
            f"address replace {own} peer {other} dev {DEVICE}",
            f"link set dev {DEVICE} mtu {MTU} txqueuelen {_QUEUE} up",
        )
        subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True, timeout=30)
    return device


@contextlib.contextmanager
def inside(network: Path) -> Iterator[None]:
    """This thread in another network namespace; sockets made meanwhile stay there. For root alone."""
    with Path("/proc/thread-self/ns/net").open("rb") as home, network.open("rb") as there:
        _enter(there)
        try:
            yield
        finally:
            _enter(home)


def _enter(namespace: BinaryIO) -> None:
    """Python's own `os.setns` came with 3.12."""
    if _LIBC.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"cannot enter {namespace.name}")


async def carry(folder: Path, networks: tuple[Path, Path]) -> None:
    """Carry until killed."""
    devices = (open_device(networks[0], *ADDRESSES), open_device(networks[1], *reversed(ADDRESSES)))
    tunnel = Tunnel(devices, control.recorded(folder) or Condition())
    async with await control.serve(folder, tunnel) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(carry(Path(sys.argv[1]), (Path(sys.argv[2]), Path(sys.argv[3]))))
