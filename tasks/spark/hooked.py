"""Faults that the team's own commands make.

Promises: what a fault needs to be ended is on disk before it strikes, so that another process can end it; a command is
told just whom it is to hit; a fault that is not there is not ended, and nothing is called for it.

A hook gets `MUSTER_FAULT`, `MUSTER_MASTER`, `MUSTER_APPLICATION` (its id), and, separated by spaces and in the order of
the victims, `MUSTER_EXECUTORS` (ids) and `MUSTER_HOSTS`. What heals gets the same.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from muster.errors import Refusal
from muster.quantity import count_of
from muster.spark.observations import Victim
from muster.spark.spec import Fault
from tasks.hooks import Hook, Variables, run_hook
from tasks.spark.keys import FaultHooks
from tasks.spark.post import hear, say
from tasks.targets.stressable import Moment, Work

_RECORD = "fault.json"


class _Struck(BaseModel):
    """A fault that a hook was asked for, and has not been ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: Fault
    where: str
    variables: Mapping[str, str]


class HookedFaults:
    """The hooks of a plan."""

    def __init__(self, hooks: Mapping[Fault, FaultHooks]) -> None:
        self._hooks = hooks

    def possible(self) -> frozenset[Fault]:
        """What the plan has hooks for."""
        return frozenset(self._hooks)

    def require_programs(self) -> None:
        """A `Refusal` unless the program of every hook is there."""
        given = [(f"{fault}.{verb}", hook) for fault, hooks in self._hooks.items()
                 for verb, hook in (("strike", hooks.strike), ("heal", hooks.heal)) if hook]  # fmt: skip
        missing = [f"{name} ({hook.run[0]})" for name, hook in given if not hook.is_installed]
        if missing:
            raise Refusal(
                f"{count_of(len(missing), 'hook has', 'hooks have')} no program: {', '.join(missing)}",
                "install them where Muster runs, make them executable, or name them by their whole path",
            )

    def strike(self, moment: Moment, victims: tuple[Victim, ...], work: Work, master: str) -> tuple[str, ...]:
        """Call the hook of the plan's fault."""
        fault = work.spec.fault.type
        variables = {
            "MUSTER_FAULT": str(fault),
            "MUSTER_MASTER": master,
            "MUSTER_APPLICATION": moment.application,
            "MUSTER_EXECUTORS": " ".join(executor for victim in victims for executor in victim.executors),
            "MUSTER_HOSTS": " ".join(dict.fromkeys(victim.host for victim in victims if victim.host)),
        }
        struck = _Struck(fault=fault, where=" and ".join(victim.name for victim in victims), variables=variables)
        say(work.workspace.scratch, _RECORD, struck)
        return (_call("strike", self._hooks[fault].strike, struck, work),)

    def heal(self, work: Work) -> tuple[str, ...]:
        """Call what ends the fault that is on record; nothing where none is."""
        struck = hear(work.workspace.scratch, _RECORD, _Struck)
        if struck is None:
            return ()
        hook = self._hooks[struck.fault].heal
        done = (_call("heal", hook, struck, work),) if hook else ()
        (work.workspace.scratch / _RECORD).unlink(missing_ok=True)
        return done


def _call(verb: str, hook: Hook, struck: _Struck, work: Work) -> str:
    name = f"{struck.fault}.{verb}"
    said = run_hook(name, hook, Variables(struck.where, struck.variables), work.processes, work.seconds_left)
    last = said.rpartition("\n")[2].strip()
    return f"{struck.where}: hook {name}" + (f": {last}" if last else "")
