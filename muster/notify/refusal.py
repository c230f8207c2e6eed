"""What a route says when it does not take a message, and how long it is waited for."""

from collections.abc import Mapping
from typing import NamedTuple


class RouteRefuses(Exception):
    """A route did not take a message. Its words hold neither the route's address nor its secret."""


class Patience(NamedTuple):
    """How long a route is waited for, in seconds."""

    answer: float = 5.0
    """For one answer."""
    attempts: int = 3
    """How often a message is tried while the other side is away or broken."""
    all: float = 30.0
    """For all messages of a round, whatever the other side does."""


PATIENCE = Patience()


def variable(environment: Mapping[str, str], name: str) -> str:
    """The value of an environment variable that a route names."""
    value = environment.get(name)
    if not value:
        raise RouteRefuses(f"the environment variable {name} is not set")
    return value
