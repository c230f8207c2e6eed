"""Target `standalone`: a Spark standalone cluster of the team's own, of one master or several.

The driver is a process on this machine; the cluster's workers must reach it (`spark.driver.host`). A cluster lets
nobody kill single executors from outside, so faults are the team's own commands, over ssh say. Without one, executors
are killed and frozen where every worker is on this very machine and of our user.

Nothing is started on the cluster but our application, and it takes no more cores than `ready.cores`, unless the plan
says so: other applications go on. Source: Spark's "Standalone Mode", `JsonProtocol.writeMasterState`, `UIUtils`.
"""

import re
import signal
import time
from dataclasses import dataclass
from typing import Literal

import httpx
from pydantic import Field, field_validator

from muster.errors import Refusal, StepError
from muster.identity import Identity
from muster.settings import Settings
from muster.spark.observations import ClusterSeen, Victim
from muster.spark.spec import Fault
from tasks.process import AT_ONCE
from tasks.spark import local_processes, standalone
from tasks.spark.clientmode import ClientKeys, ClientMode, spark_version, was_asked
from tasks.spark.keys import Address
from tasks.targets.stressable import Moment, Work

_SECONDS = 10.0
_GONE_SECONDS = 60.0
_NAP = 0.2
_ALIVE = "ALIVE"
_VERSION = re.compile(r'class="version[^"]*"[^>]*>\s*([^<\s]+)\s*<')
"""How a master's page shows the version of its Spark. Its JSON does not tell it."""


class Spec(ClientKeys):
    """The target's keys in a plan."""

    type: Literal["standalone"] = "standalone"
    master: str = Field(pattern=r"^spark://[A-Za-z0-9._-]+:\d+(,[A-Za-z0-9._-]+:\d+)*$")
    """`spark://a:7077`, or every master of one cluster: `spark://a:7077,b:7077`."""
    masters_ui: tuple[Address, ...] = Field(min_length=1)
    """Where each of them has its web page, such as `http://a:8080`."""

    @field_validator("master", mode="before")
    @classmethod
    def _as_spark_reads_it(cls, value: object) -> object:
        """Masters may each be written with `spark://`."""
        return re.sub(r"(?<=,)\s*(spark://)?", "", value) if isinstance(value, str) else value

    @property
    def urls(self) -> frozenset[str]:
        """Each master's own URL."""
        return frozenset(f"spark://{each}" for each in self.master.removeprefix("spark://").split(","))


@dataclass(frozen=True)
class _Master:
    """What one master tells."""

    ui: str
    url: str
    status: str
    version: str
    names: tuple[tuple[str, str], ...]
    """Id and name of each application that runs."""


class Target(ClientMode):
    """The cluster."""

    means = local_processes.FAULTS

    def __init__(self, spec: Spec, look: local_processes.Look = local_processes.look_around) -> None:
        super().__init__(spec)
        self._spec = spec
        self._look = look

    def identify(self) -> Identity:
        """One master is alive, is one of the plan's, and is of our Spark."""
        self._hooked.require_programs()
        masters, problems = self._ask()
        alive = [master for master in masters if master.status == _ALIVE]
        if not alive:
            told = [f"{m.ui} is {m.status}" for m in masters] + problems
            raise Refusal(f"no master is alive: {'; '.join(told)}", "start one, or mend target.masters_ui")
        master = alive[0]
        if len(alive) > 1:
            raise Refusal(
                f"{' and '.join(m.url for m in alive)} are both alive", "name the masters of one cluster alone"
            )
        if master.url not in self._spec.urls:
            raise Refusal(f"{master.ui} is the page of {master.url}, not of {self._spec.master}", "mend target.master")
        if master.version not in {"", spark_version()}:
            raise Refusal(
                f"the cluster has Spark {master.version}, the driver here would have {spark_version()}",
                f"install pyspark=={master.version} where Muster runs: driver and executors must be of one version",
            )
        return Identity(
            description=f"Spark standalone cluster {master.url}",
            system_identifier=None,
            proof=f"{master.ui} is {master.status}, its URL is {master.url}, its Spark {master.version or 'not told'}",
        )

    def look(self, stage: str, work: Work | None = None) -> ClusterSeen:
        """What the master that is alive tells."""
        seen = [standalone.look(ui, stage) for ui in self._spec.masters_ui]
        best = min(seen, key=lambda each: len(each.problems))
        problems = () if not best.problems else tuple(f"{each.manager}: {'; '.join(each.problems)}" for each in seen)
        return best.model_copy(update={"problems": problems})

    def own_faults(self) -> frozenset[Fault]:
        """Those of executors, where every worker is within our reach."""
        hosts = [worker.host for worker in self.look("faults").alive]
        return self.means if local_processes.may_signal(hosts, self._look) else frozenset()

    def carry_out(self, moment: Moment, victims: tuple[Victim, ...], work: Work) -> tuple[str, ...]:
        """A signal to the executors' processes."""
        freezes = work.spec.fault.type is Fault.FREEZE_EXECUTOR
        number = signal.SIGSTOP if freezes else signal.SIGKILL
        return local_processes.signal_executors(moment, victims, number, self._look)

    def end_own_faults(self, work: Work) -> tuple[str, ...]:
        """What stands still goes on."""
        return local_processes.thaw(self.applications(work), self._look)

    def master_of_now(self) -> str:
        """All of them: Spark finds the one that is alive, and follows it to the next."""
        return self._spec.master

    def defaults(self, work: Work) -> dict[str, str]:
        """No more of a shared cluster than the drill was found to need."""
        return {"spark.cores.max": str(work.spec.ready.cores)}

    def end_on_cluster(self, work: Work) -> None:
        """The master strikes an application off once it has lost its driver; one that stays is told.

        A master that does not answer is left to `release`, which comes after every fault has ended.
        """
        deadline = time.monotonic() + _GONE_SECONDS
        while ours := [(m.ui, name) for m in self._ask()[0] for name, of in m.names if of == work.application]:
            if time.monotonic() > deadline:
                ui, name = ours[0]
                raise StepError(
                    f"{name} ({work.application}) is still on the master's list, though its driver is gone",
                    f"kill it on {ui}, or by: curl -X POST -d 'id={name}&terminate=true' {ui}/app/kill/",
                )
            time.sleep(min(_NAP, work.seconds_left()))

    def release(self, work: Work) -> None:
        """As for all; where a driver ever was, some master must say that our application is gone."""
        work.processes.stop_all(signals=AT_ONCE)
        if was_asked(work) and not self._ask()[0]:
            raise StepError(
                f"no master answers, so nobody says whether {work.application} is gone",
                "start the master, then: muster undo run",
            )
        super().release(work)

    def _ask(self) -> tuple[list[_Master], list[str]]:
        """Every master that answers, and what is wrong with the others."""
        masters, problems = [], []
        with httpx.Client(trust_env=False, timeout=_SECONDS) as client:
            for ui in self._spec.masters_ui:
                try:
                    masters.append(_asked(client, ui))
                except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                    problems.append(f"{ui} does not answer: {error}")
        return masters, problems


def _asked(client: httpx.Client, ui: str) -> _Master:
    answer = client.get(f"{ui}/json/")
    answer.raise_for_status()
    told = answer.json()
    page = client.get(f"{ui}/")
    found = _VERSION.search(page.text) if page.is_success else None
    return _Master(
        ui=ui,
        url=str(told["url"]),
        status=str(told["status"]),
        version=found[1] if found else "",
        names=tuple((str(a["id"]), str(a["name"])) for a in told.get("activeapps", ())),
    )


def open_target(keys: dict[str, object], _settings: Settings) -> Target:
    """The target of a plan. Nothing is asked of the cluster yet."""
    return Target(Spec.model_validate(keys))
