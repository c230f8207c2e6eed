"""What the embedded cluster is made of for each fault, and which faults it offers by its keys."""

import os
import struct
import subprocess
from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError

from muster.errors import StepError
from muster.spark.spec import Fault
from tasks.process import Processes
from tasks.spark.cluster import Cluster, Shape
from tasks.spark.faults import cgroups, disk, files, names, resources
from tasks.spark.java import Java
from tasks.targets.embedded_spark import Spec, Target

JAVA = Java(Path("/java"), "21.0.1", "PATH")


def cluster(folder: Path, shape: Shape) -> Cluster:
    return Cluster(folder / "home", Processes(folder / "records", folder / "logs"), JAVA, shape)


@pytest.mark.parametrize("fault", list(Fault))
def test_only_the_fault_that_needs_a_part_gets_it(fault: Fault) -> None:
    shape = Spec().shape(fault)
    assert (shape.local_disk is not None) is (fault is Fault.FULL_DISK)
    assert shape.has_doors is (fault is Fault.CUT_NETWORK)
    assert not shape.has_shuffle_service


def test_keys_make_the_cluster_so_whatever_the_fault() -> None:
    assert Spec(local_disk=64).shape(Fault.FULL_DISK).local_disk == 64
    assert Spec(local_disk=64).shape(Fault.KILL_EXECUTOR).local_disk == 64
    assert Spec(shuffle_service=True).shape(Fault.KILL_EXECUTOR).has_shuffle_service


def test_a_service_that_could_not_read_the_workers_disks_is_refused() -> None:
    with pytest.raises(ValidationError, match="cannot read"):
        Spec(local_disk=64, shuffle_service=True)


def test_the_shuffle_service_is_killed_only_where_there_is_one() -> None:
    with_one, without = Target(Spec(shuffle_service=True)).faults(), Target(Spec()).faults()
    assert Fault.KILL_SHUFFLE_SERVICE in with_one
    assert Fault.KILL_SHUFFLE_SERVICE not in without
    assert Fault.FULL_DISK not in with_one
    assert with_one - {Fault.KILL_SHUFFLE_SERVICE} == without - {Fault.FULL_DISK}


def test_an_application_is_told_nothing_of_parts_that_are_not_there(tmp_path: Path) -> None:
    plain = cluster(tmp_path, Shape())
    assert plain.settings == {}
    assert plain.master_url.startswith("spark://127.0.0.1:")


def test_with_doors_master_and_driver_go_by_names_and_known_ports(tmp_path: Path) -> None:
    found = cluster(tmp_path, Shape(has_doors=True))
    assert found.master_url.startswith(f"spark://{names.MASTER}:")
    assert found.settings["spark.driver.host"] == names.DRIVER
    assert found.settings["spark.port.maxRetries"] == "0"
    ports = {found.settings["spark.driver.port"], found.settings["spark.driver.blockManager.port"]}
    assert len(ports | {found.master_url.rpartition(":")[2]}) == 3
    assert cluster(tmp_path, Shape(has_doors=True)).settings == found.settings, "another process finds the same ports"


def test_a_hosts_file_leads_both_names_to_one_address(tmp_path: Path) -> None:
    told = names.environment(tmp_path / "hosts", "127.0.1.7", "127.0.0.8")
    assert told["JAVA_TOOL_OPTIONS"] == f'"-Djdk.net.hosts.file={tmp_path / "hosts"}"'
    lines = (tmp_path / "hosts").read_text(encoding="utf-8").splitlines()
    assert f"127.0.1.7 {names.MASTER} {names.DRIVER}" in lines
    assert any("localhost" in line and line.startswith("127.0.0.1 ") for line in lines)


def test_with_a_service_the_application_is_told_its_port(tmp_path: Path) -> None:
    found = cluster(tmp_path, Shape(has_shuffle_service=True)).settings
    assert found["spark.shuffle.service.enabled"] == "true"
    assert int(found["spark.shuffle.service.port"])


def test_the_machines_disk_is_never_filled(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="no disk of a worker's own"):
        disk.OwnDisk(os.getpid(), tmp_path, 64).fill()


@pytest.mark.skipif(not disk.is_possible(), reason="this machine has no mount namespaces for this user")
def test_a_disk_of_ones_own_is_full_to_the_byte_and_has_room_again(tmp_path: Path) -> None:
    sleeper = subprocess.Popen([*disk.prefix(tmp_path, 16), "sleep", "60"])
    try:
        own = disk.OwnDisk(sleeper.pid, tmp_path, 16)
        while Path(f"/proc/{sleeper.pid}/comm").read_text(encoding="utf-8").strip() != "sleep":
            assert sleeper.poll() is None
        (own.path / "kept").write_bytes(bytes(10_000))
        assert own.fill() == 12_288, "whole pages"
        with pytest.raises(OSError, match="No space left"):
            (own.path / "more").write_bytes(b"x")
        (own.path / "kept").write_bytes(bytes(12_288))
        assert own.make_room()
        assert not own.make_room()
        (own.path / "more").write_bytes(bytes(2**20))
        assert list(tmp_path.iterdir()) == [], "nobody else sees it"
        assert str(tmp_path) not in Path("/proc/self/mounts").read_text(encoding="utf-8")
    finally:
        sleeper.kill()
        sleeper.wait()


def test_nothing_is_lifted_where_nothing_was_limited(tmp_path: Path) -> None:
    assert resources.lift(tmp_path) == ()


def test_a_group_that_went_with_the_machine_is_only_forgotten(tmp_path: Path) -> None:
    """After a reboot the record is there, and nothing else."""
    records = resources.records_of(tmp_path)
    records.mkdir()
    (records / "muster-x").write_text(f"1\n{tmp_path / 'gone'}\n{tmp_path}\n", encoding="utf-8")
    assert cgroups.remove("muster-x", records) is False
    assert cgroups.recorded(records) == {}


def test_version_two_makes_the_group_where_the_controller_is_switched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On paper: a group that has processes can switch nothing on, so the group is made beside it."""
    own = tmp_path / "user" / "session"
    own.mkdir(parents=True)
    (own / "cgroup.subtree_control").write_text("", encoding="ascii")
    (own.parent / "cgroup.subtree_control").write_text("cpu io memory\n", encoding="ascii")
    monkeypatch.setattr(cgroups, "_folder_of", lambda _pid, controller: None if controller else own)
    for controller in ("memory", "blkio"):
        assert cgroups.place_for(controller, 1) == cgroups.Place(own.parent, own, 2)
    (own.parent / "cgroup.subtree_control").write_text("cpu\n", encoding="ascii")
    assert cgroups.place_for("memory", 1) is None


@pytest.mark.parametrize(
    ("version", "files"),
    [
        (1, {"memory.limit_in_bytes": "1048576", "memory.memsw.limit_in_bytes": "1048576"}),
        (2, {"memory.max": "1048576", "memory.swap.max": "0"}),
    ],
)
def test_no_more_memory_is_no_more_swap_either(tmp_path: Path, version: Literal[1, 2], files: dict[str, str]) -> None:
    for name in files:
        (tmp_path / name).touch()
    resources._limit_memory(cgroups.Group(tmp_path, version))
    assert {path.name: path.read_text(encoding="ascii") for path in tmp_path.iterdir()} == files


@pytest.mark.parametrize(
    ("version", "file", "slow", "free"),
    [
        (1, "blkio.throttle.write_bps_device", "254:0 1048576", "254:0 0"),
        (2, "io.max", "254:0 wbps=1048576", "254:0 wbps=max"),
    ],
)
def test_a_slow_disk_is_freed_as_it_was_slowed(
    tmp_path: Path, version: Literal[1, 2], file: str, slow: str, free: str
) -> None:
    group = cgroups.Group(tmp_path, version)
    resources._limit_writes(group, "254:0", "1048576")
    assert (tmp_path / file).read_text(encoding="ascii") == slow
    resources._unlimit_writes(group)
    assert (tmp_path / file).read_text(encoding="ascii") == free


def test_a_group_is_found_where_it_is_mounted(tmp_path: Path) -> None:
    """Below the mount's own root, as in a container that sees the machine's paths."""
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "cgroup.procs").touch()
    old = [f"36 30 0:33 /docker/abc {tmp_path} rw - cgroup cgroup rw,memory"]
    new = [f"36 30 0:33 / {tmp_path} rw shared:4 - cgroup2 cgroup2 rw,nsdelegate"]
    assert cgroups._mounted(old, "memory", "/docker/abc/job") == tmp_path / "job"
    assert cgroups._mounted(old, "blkio", "/docker/abc/job") is None
    assert cgroups._mounted(new, "", "/job") == tmp_path / "job"
    assert cgroups._mounted(new, "memory", "/job") is None


def test_every_block_of_a_shuffle_file_is_found(tmp_path: Path) -> None:
    """Three reduce tasks, of which the second gets nothing."""
    data, index = tmp_path / "0c" / "shuffle_1_2_0.data", tmp_path / "3f" / "shuffle_1_2_0.index"
    index.parent.mkdir()
    index.write_bytes(struct.pack(">4q", 0, 70, 70, 71))
    assert list(files._blocks(data)) == [(0, 70), (70, 71)]


def test_a_part_of_every_block_is_spoiled(tmp_path: Path) -> None:
    data = tmp_path / "0c" / "shuffle_1_2_0.data"
    data.parent.mkdir()
    data.write_bytes(bytes(1000) + b"x")
    data.with_suffix(".index").write_bytes(struct.pack(">3q", 0, 1000, 1001))
    assert files._flip(data) == 2
    assert data.read_bytes() == bytes(468) + b"\xff" * 64 + bytes(468) + bytes([ord("x") ^ 0xFF])
