"""Target `embedded-schedulers`: blue and green, the two Prefect servers that `muster up` keeps."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from muster.errors import UsageError
from muster.settings import Settings
from tasks.estate.bluegreen import BLUE, GREEN
from tasks.estate.card import read_card
from tasks.targets import schedulers


class Spec(BaseModel):
    """The target's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = "embedded-schedulers"


def open_target(keys: dict[str, Any], settings: Settings) -> schedulers.Target:
    """Blue has the canaries, green is to have them."""
    Spec.model_validate(keys)
    card = read_card(settings)
    if card is None or card.schedulers is None:
        raise UsageError("blue and green are not up", "start them: `muster up --schedulers`, or `muster run PLAN --up`")
    sides = {
        name: {"type": "prefect", "holder": colour, "api": card.schedulers.apis[colour]}
        for name, colour in (("a", BLUE), ("b", GREEN))
    }
    return schedulers.open_target({"type": "schedulers", **sides}, settings)
