"""Who a target proved to be, before anything is done to it."""

from muster.journal import Observation


class Identity(Observation):
    """Who the target proved to be."""

    description: str
    system_identifier: str | None = None
    proof: str
