"""Target `yarn`: executors are containers, the driver is a process on this machine. Not yet proven on a cluster.

What is asked is held against answers in the form of Hadoop's documentation. An executor is killed by the
ResourceManager's own signal to its container, found by what Spark tells of that executor. Machines are the team's own
to kill, by hooks.

Containers must reach the driver here (`spark.driver.host`). A driver on YARN shows itself only to YARN's proxy, so that
is where its progress is asked. Kerberos is not spoken: `user` is who simple authentication is told.
Rights: read the ResourceManager's REST; for faults and for leftovers, be the application's owner there.
Source: Hadoop's "ResourceManager REST APIs"; Spark's "Running on YARN", `YarnSchedulerBackend`.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import httpx
from pydantic import Field

from muster.errors import Refusal, StepError
from muster.identity import Identity
from muster.settings import Settings
from muster.spark.observations import ClusterSeen, Victim
from muster.spark.spec import Fault
from tasks.spark.clientmode import ClientKeys, ClientMode
from tasks.spark.keys import Address, Folder
from tasks.spark.post import Up
from tasks.spark.yarn_api import Yarn
from tasks.targets.stressable import Moment, Session, Work

_GONE_SECONDS = 60.0
_KILLED_SECONDS = 10.0
_NAP = 0.5


class Spec(ClientKeys):
    """The target's keys in a plan."""

    type: Literal["yarn"] = "yarn"
    hadoop_conf: Path
    """Folder with the cluster's `yarn-site.xml` and `core-site.xml`: what the driver finds the cluster by."""
    resource_managers: tuple[Address, ...] = Field(min_length=1)
    """Where each ResourceManager has its REST, such as `http://rm-1:8088`."""
    user: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    """Who asks, for the driver and for the REST. Default: whoever Muster runs as, and nobody for the REST."""
    data: Folder
    """Where the job writes: executors must reach it, and the driver too."""


class Target(ClientMode):
    """The cluster."""

    means = frozenset({Fault.KILL_EXECUTOR, Fault.KILL_CACHED})

    def __init__(self, spec: Spec, transport: httpx.BaseTransport | None = None) -> None:
        super().__init__(spec)
        self._spec = spec
        self._yarn = Yarn(spec.resource_managers, spec.user, transport)

    def identify(self) -> Identity:
        """A ResourceManager is active, and there are settings to find it by."""
        self._hooked.require_programs()
        if not (self._spec.hadoop_conf / "yarn-site.xml").is_file():
            raise Refusal(f"{self._spec.hadoop_conf} has no yarn-site.xml", "mend target.hadoop_conf")
        try:
            manager = self._yarn.active()
        except StepError as error:
            raise Refusal(error.message, error.advice) from None
        return Identity(
            description=f"YARN {manager.version} at {manager.url}",
            system_identifier=None,
            proof=f"its ResourceManager is active, and was started at {manager.id}",
        )

    def look(self, stage: str, work: Work | None = None) -> ClusterSeen:
        """Nodes and applications, as the active ResourceManager tells."""
        where = self._spec.resource_managers[0]
        try:
            where = self._yarn.active().url
            workers, running = self._yarn.nodes(), self._yarn.applications()
        except (StepError, KeyError, TypeError, ValueError) as error:
            said = error.message if isinstance(error, StepError) else f"{where} tells no nodes: {error}"
            return ClusterSeen(stage=stage, manager=where, spark="", workers=(), problems=(said,))
        names = tuple(app.name for app in running)
        return ClusterSeen(stage=stage, manager=where, spark="", workers=workers, applications=names)

    def open_session(self, work: Work, name: str, settings: Mapping[str, str], data: str) -> Session:
        """As for all; the driver must have found the very cluster that was surveyed."""
        session = super().open_session(work, name, settings, data)
        application, manager = session.applications[-1], self._yarn.active()
        known = {app.id for app in self._yarn.applications()}
        if not application.startswith(f"application_{manager.id}_") and application not in known:
            raise StepError(
                f"the driver's application {application} is none of {manager.url}",
                "target.hadoop_conf and target.resource_managers must lead to one cluster",
            )
        return session

    def carry_out(self, moment: Moment, victims: tuple[Victim, ...], work: Work) -> tuple[str, ...]:
        """A signal to the containers of just these executors. All are found before the first is hit."""
        containers = self._yarn.executors(moment.application)
        wanted = [executor for victim in victims for executor in victim.executors]
        if missing := [executor for executor in wanted if executor not in containers]:
            raise StepError(
                f"Spark does not tell the container of executor {missing[0]} of {moment.application}: none was hit",
                "see its log's address in Spark's UI; a hook in target.hooks can do it instead",
            )
        for executor in wanted:
            self._yarn.shut_down(containers[executor], moment.application)
        for executor in wanted:
            self._yarn.wait_for_end(containers[executor], min(_KILLED_SECONDS, work.seconds_left()))
        return tuple(f"executor {executor}: FORCEFUL_SHUTDOWN to {containers[executor].id}" for executor in wanted)

    def end_own_faults(self, work: Work) -> tuple[str, ...]:
        """Spark asks for new containers by itself."""
        return ()

    def master_of_now(self) -> str:
        """Whatever the Hadoop settings say."""
        return "yarn"

    def defaults(self, work: Work) -> dict[str, str]:
        """As many executors as the plan needs, of one core each; what YARN needs of ours is in the run's own folder."""
        return {
            "spark.executor.instances": str(work.spec.ready.cores),
            "spark.executor.cores": "1",
            "spark.yarn.stagingDir": self.data(work),
        }

    def more_environment(self) -> dict[str, str]:
        """Where the cluster is, and who asks."""
        folder = str(self._spec.hadoop_conf.absolute())
        user = {"HADOOP_USER_NAME": self._spec.user} if self._spec.user else {}
        return {"HADOOP_CONF_DIR": folder, "YARN_CONF_DIR": folder, **user}

    def seen_at(self, up: Up) -> str:
        """By YARN's proxy."""
        return self._yarn.proxy(up.application)

    def end_on_cluster(self, work: Work) -> None:
        """What lost its driver ends by itself; it is asked to all the same, until it has."""
        deadline = time.monotonic() + _GONE_SECONDS
        while ours := [app.id for app in self._yarn.applications() if app.name == work.application]:
            if time.monotonic() > deadline:
                raise StepError(f"{ours[0]} does not end", f"end it by: yarn application -kill {ours[0]}")
            for application in ours:
                self._yarn.kill(application)
            time.sleep(min(_NAP, work.seconds_left()))


def open_target(keys: dict[str, object], _settings: Settings) -> Target:
    """The target of a plan. Nothing is asked of the cluster yet."""
    return Target(Spec.model_validate(keys))
