"""A standalone Spark cluster of our own on loopback: one master that recovers from its directory, and workers.

Promises: every process is on record before it runs; each worker has a loopback address of its own, so that a lost
executor is a lost address, as on real machines; nothing but loopback is listened on; what is killed is found by its
record, or by the application it serves, never by a name. Source: Spark's "Standalone Mode" and "Monitoring and
Instrumentation" pages.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from muster.errors import StepError
from muster.spark.observations import ClusterSeen
from tasks.estate.loopback import HOST, free_ports, wait_until_ours
from tasks.process import AT_ONCE, Identity, Processes
from tasks.spark import standalone
from tasks.spark.faults import disk, names
from tasks.spark.java import Java, prepare_home, spark_home

MASTER = "spark-master"
SHUFFLE_SERVICE = "spark-shuffle-service"
_START_SECONDS = 90.0
_NAP = 0.05
_DAEMON_MEMORY = "256m"
_JVM = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
"""Small JVMs that start soon: a drill's own cluster has little to do but to be there."""


@dataclass(frozen=True)
class Shape:
    """How large the cluster is."""

    workers: int = 2
    cores: int = 1
    """Of each worker."""
    memory: int = 1024
    """MiB of each worker."""
    local_disk: int | None = None
    """MiB of a local disk of each worker's own; `None`: all share the machine's."""
    has_doors: bool = False
    """Whether each worker reaches master and driver through a door of its own, which can be shut."""
    has_shuffle_service: bool = False


class Cluster:
    """The cluster below a folder. Another process finds it again by the same folder and processes."""

    def __init__(self, home: Path, processes: Processes, java: Java, shape: Shape = Shape()) -> None:
        self.home = home
        self.shape = shape
        self._processes = processes
        self._java = java
        self._port, self._ui, *self._others = free_ports_once(home)

    @property
    def master_url(self) -> str:
        """Where applications are sent."""
        return f"spark://{self._master_host}:{self._port}"

    @property
    def master_ui(self) -> str:
        """Where the master tells its state."""
        return f"http://{HOST}:{self._ui}"

    @property
    def worker_names(self) -> tuple[str, ...]:
        """The workers' names on record."""
        return tuple(f"spark-worker-{n}" for n in range(1, self.shape.workers + 1))

    @property
    def environment(self) -> dict[str, str]:
        """What every Spark process of this cluster is started with, drivers too."""
        return {
            "SPARK_HOME": str(spark_home()),
            "JAVA_HOME": str(prepare_home(self._java, self.home / "java")),
            "SPARK_CONF_DIR": str(self._made("conf")),
            "SPARK_SCALA_VERSION": "2.13",
            "SPARK_LOCAL_IP": HOST,
            "SPARK_DAEMON_MEMORY": _DAEMON_MEMORY,
            "SPARK_NO_DAEMONIZE": "1",
            "PYSPARK_PYTHON": sys.executable,
            **(names.environment(self.home / "hosts" / "master", HOST, HOST) if self.shape.has_doors else {}),
        }

    @property
    def settings(self) -> dict[str, str]:
        """What an application needs to be told for this cluster's shape."""
        driver, blocks, shuffle = map(str, self._others)
        found: dict[str, str] = {}
        if self.shape.has_doors:  # doors lead to ports that are known before: another one, chosen when taken, has none
            found |= {
                "spark.driver.host": names.DRIVER,
                "spark.driver.port": driver,
                "spark.driver.blockManager.port": blocks,
                "spark.port.maxRetries": "0",
            }
        if self.shape.has_shuffle_service:
            found |= {"spark.shuffle.service.enabled": "true", "spark.shuffle.service.port": shuffle}
        return found

    def start(self, seconds_left: Callable[[], float]) -> None:
        """Make sure that master and workers run, and that the master knows every worker."""
        self.start_master(seconds_left)
        self.start_shuffle_service(seconds_left)
        for name in self.worker_names:
            self.start_worker(name)
        self.wait_for_workers(len(self.worker_names), seconds_left)

    def start_master(self, seconds_left: Callable[[], float]) -> None:
        """Make sure that the master runs and answers."""
        if MASTER not in self._processes.alive():
            options = {
                "spark.master.rest.enabled": "false",
                "spark.port.maxRetries": "0",  # one that took another port would be found by nobody
                "spark.deploy.recoveryMode": "FILESYSTEM",
                "spark.deploy.recoveryDirectory": str(self._made("recovery")),
                "spark.worker.timeout": "15",
                "spark.deploy.recoveryTimeout": "15",
            }
            self._start(
                MASTER,
                ["org.apache.spark.deploy.master.Master", "--host", self._master_host, "--port", self._port,
                 "--webui-port", self._ui],
                options,
                {},
            )  # fmt: skip
        timeout = min(_START_SECONDS, seconds_left())
        wait_until_ours(self._processes, MASTER, self._ui, self._answers, timeout=timeout)

    def start_shuffle_service(self, seconds_left: Callable[[], float]) -> None:
        """Make sure that the shuffle service answers at every worker's address, if the cluster has one."""
        if not self.shape.has_shuffle_service:
            return
        port = self._others[-1]
        if SHUFFLE_SERVICE not in self._processes.alive():
            addresses = map(self.address_of, self.worker_names)
            kept = str(self._made("shuffle"))
            argv = [sys.executable, "-m", "tasks.spark.shuffle_service", kept, str(port), *addresses]
            environment = {**self.environment, "SPARK_DRIVER_MEMORY": _DAEMON_MEMORY}
            self._processes.start(SHUFFLE_SERVICE, argv, log=f"{SHUFFLE_SERVICE}.log", env=environment)
        timeout = min(_START_SECONDS, seconds_left())
        wait_until_ours(self._processes, SHUFFLE_SERVICE, port, lambda: True, timeout=timeout)

    def start_worker(self, name: str) -> None:
        """Make sure that a worker runs; the master hears of it a little later."""
        if name in self._processes.alive():
            return
        address = self.address_of(name)
        work = self._made("work", name)
        local = self._made("local", name)
        self._start(
            name,
            ["org.apache.spark.deploy.worker.Worker", "--host", address, "--port", "0", "--webui-port", "0",
             "--cores", self.shape.cores, "--memory", f"{self.shape.memory}m", "--work-dir", work, self.master_url],
            {"spark.worker.cleanup.enabled": "false", "spark.decommission.enabled": "true"},
            {"SPARK_LOCAL_IP": address, "SPARK_LOCAL_DIRS": str(local), **self._through_a_door(name)},
            disk.prefix(local, self.shape.local_disk) if self.shape.local_disk else (),
        )  # fmt: skip

    def _through_a_door(self, name: str) -> Mapping[str, str]:
        """Make sure that a worker's door is there; what makes the worker and its executors use it."""
        if not self.shape.has_doors:
            return {}
        door, number = self.door_of(name), name.rpartition("-")[2]
        inside = f"127.0.1.{number}"
        if door not in self._processes.alive():
            ports = (self._port, *self._others[:2])
            argv = [sys.executable, "-m", "tasks.spark.faults.door", inside, *map(str, ports)]
            self._processes.start(door, argv, log=f"{door}.log")
            wait_until_ours(self._processes, door, ports[-1], lambda: True, timeout=_START_SECONDS)
        return names.environment(self.home / "hosts" / name, inside, self.address_of(name))

    def wait_for_workers(self, count: int, seconds_left: Callable[[], float]) -> None:
        """Wait until the master has so many that take work; a `StepError` names the log of one that does not."""
        deadline = time.monotonic() + min(_START_SECONDS, seconds_left())
        while len((seen := self.look("wait")).alive) < count:
            dead = sorted({MASTER, *self.worker_names} - set(self._processes.alive()))
            if dead or time.monotonic() > deadline:
                name = dead[0] if dead else self.worker_names[0]
                log = self._processes.logs / f"{name}.log"
                said = " | ".join(self._processes.tail(log).strip().splitlines()[-3:]) if log.exists() else ""
                raise StepError(f"the cluster has {len(seen.alive)} of {count} workers: {name}: {said}", f"see {log}")
            seconds_left()
            time.sleep(_NAP)

    def look(self, stage: str) -> ClusterSeen:
        """What the master tells."""
        return standalone.look(self.master_ui, stage)

    def stop(self) -> None:
        """Make sure that no process of the cluster is left. Workers go first: they would wait for a master."""
        for name in (*self.worker_names, *map(self.door_of, self.worker_names), SHUFFLE_SERVICE, MASTER):
            self._processes.stop(name, signals=AT_ONCE)

    def kill(self, name: str) -> int | None:
        """SIGKILL to a worker or the master, and to all that it started; its pid."""
        found = self._processes.identity(name)
        self._processes.stop(name, signals=AT_ONCE)
        return found.pid if found else None

    def tree_of(self, name: str) -> tuple[Identity, ...]:
        """A worker or master and the processes it started, the leader first."""
        found = self._processes.identity(name)
        if found is None or not found.is_alive():
            return ()
        try:
            children = psutil.Process(found.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return ()
        return (found, *(each for child in children if (each := Identity.of(child.pid))))

    def executor_of(self, application: str, executor: str) -> Identity | None:
        """The process of one executor of an application, among those that our workers started."""
        for name in self.worker_names:
            for process in self.tree_of(name)[1:]:
                words = _command_line(process.pid)
                if _says(words, "--app-id", application) and _says(words, "--executor-id", executor):
                    return process
        return None

    def worker_at(self, host: str) -> str:
        """The worker with this address."""
        return next(name for name in self.worker_names if self.address_of(name) == host)

    def address_of(self, name: str) -> str:
        """A worker's own loopback address."""
        return f"127.0.0.{int(name.rpartition('-')[2]) + 1}"

    def door_of(self, name: str) -> str:
        """The name on record of a worker's door."""
        return f"spark-door-{name.rpartition('-')[2]}"

    def local_of(self, name: str) -> Path:
        """Where a worker's executors keep shuffle files and spilled blocks; a disk of its own by a path of ours."""
        own = self.disk_of(name)
        return own.path if own else self._local(name)

    def disk_of(self, name: str) -> disk.OwnDisk | None:
        """A worker's own disk; `None` where it shares the machine's, or does not run."""
        found = self._processes.identity(name)
        if self.shape.local_disk is None or found is None or not found.is_alive():
            return None
        return disk.OwnDisk(found.pid, self._local(name), self.shape.local_disk)

    def _local(self, name: str) -> Path:
        return self.home / "local" / name

    @property
    def _master_host(self) -> str:
        return names.MASTER if self.shape.has_doors else HOST

    def _start(
        self,
        name: str,
        words: list[object],
        options: Mapping[str, str],
        more: Mapping[str, str],
        prefix: tuple[str, ...] = (),
    ) -> None:
        java_options = " ".join((_JVM, *(f"-D{key}={value}" for key, value in options.items())))
        environment = {**self.environment, "SPARK_DAEMON_JAVA_OPTS": java_options, **more}
        # Executors take it over from their worker: one that is killed cannot clear the machine's own folder.
        own = f'"-Djava.io.tmpdir={self._made("tmp")}"'
        environment["JAVA_TOOL_OPTIONS"] = f"{environment.get('JAVA_TOOL_OPTIONS', '')} {own}".strip()
        argv = [*prefix, str(spark_home() / "bin" / "spark-class"), *map(str, words)]
        self._processes.start(name, argv, log=f"{name}.log", env=environment, cwd=self.home)

    def _answers(self) -> bool:
        return not self.look("start").problems

    def _made(self, *parts: str) -> Path:
        path = self.home.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path


def free_ports_once(home: Path) -> tuple[int, ...]:
    """Ports of master, its UI, driver, its blocks, and shuffle service: chosen once for a cluster, kept beside it."""
    kept = home / "ports"
    if not kept.exists():
        home.mkdir(parents=True, exist_ok=True)
        kept.write_text(" ".join(map(str, free_ports(home, "spark", 5))), encoding="utf-8")
    return tuple(map(int, kept.read_text(encoding="utf-8").split()))


def _command_line(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def _says(words: list[str], option: str, value: str) -> bool:
    return any(pair == (option, value) for pair in pairwise(words))
