"""What the verbs of a stress drill share: the target, and what it may use."""

import os

from muster.drill import Context
from muster.errors import MusterError
from muster.redaction import known_secrets
from muster.spark.section import spec_of
from tasks.process import Processes
from tasks.targets.stressable import Stressable, Work

EVENTS = "eventlog"
"""The event logs' folder below the run's exhibits."""


def target_of(context: Context) -> Stressable:
    """The target; what keeps it from being opened is what keeps a step, or an undo, from being done."""
    if isinstance(context.target, MusterError):
        raise context.target
    target: Stressable = context.target
    return target


def work_of(context: Context) -> Work:
    """What the target may use."""
    return Work(
        workspace=context.workspace,
        processes=processes_of(context),
        spec=spec_of(context.plan),
        seconds_left=lambda: context.seconds_left,
    )


def processes_of(context: Context) -> Processes:
    """The run's own programs. What one says can end in an error's message, and so in the journal: hence the secrets."""
    return Processes(context.workspace.records, context.workspace.logs, known_secrets(os.environ))
