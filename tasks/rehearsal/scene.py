"""What the verbs of a rehearsal share: the target, who plays which part in it, the route, a look at all of it."""

import os
from pathlib import Path

from muster.drill import Context
from muster.errors import MusterError
from muster.failover.observations import Cast, Node, NodeState, Surveyed
from muster.failover.section import spec_of
from muster.redaction import known_secrets
from tasks.postgres.survey import survey
from tasks.process import Processes
from tasks.routes.route import Route, open_route
from tasks.targets.promotable import Promotable, Work

HISTORY = "history"
"""The client's folder below the run's exhibits."""


def target_of(context: Context) -> Promotable:
    """The target; what keeps it from being opened is what keeps a step, or an undo, from being done."""
    if isinstance(context.target, MusterError):
        raise context.target
    target: Promotable = context.target
    return target


def cast_of(context: Context) -> Cast:
    """Who plays which part, as the survey found it."""
    return context.result("survey", Cast)


def node_of(context: Context, name: str) -> Node:
    """The node of this name."""
    return next(n for n in target_of(context).nodes() if n.name == name)


def state_of(seen: Surveyed, name: str) -> NodeState:
    """What a survey says of one node."""
    return next(n for n in seen.nodes if n.node == name)


def route_of(context: Context) -> Route:
    """How clients find the server that serves."""
    return open_route(spec_of(context.plan).reroute, target_of(context).nodes())


def work_of(context: Context) -> Work:
    """What the target may use."""
    return Work(
        workspace=context.workspace,
        processes=processes_of(context),
        spec=spec_of(context.plan),
        seconds_left=lambda: context.seconds_left,
        now_ns=context.clock.monotonic_ns,
    )


def processes_of(context: Context) -> Processes:
    """The run's own programs. What one says can end in an error's message, and so in the journal: hence the secrets."""
    return Processes(context.workspace.records, context.workspace.logs, known_secrets(os.environ))


def history_of(context: Context) -> Path:
    """Where the client keeps its history."""
    return context.workspace.exhibits / HISTORY


def look(context: Context, stage: str) -> Surveyed:
    """Ask every node, and keep what they say."""
    target = target_of(context)
    seen = survey(target.nodes(), stage, target.connect_seconds())
    context.observe(seen)
    return seen
