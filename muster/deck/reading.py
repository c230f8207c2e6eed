"""The deck of this installation, now: plan cards beside what the ledger knows of them.

Promises: `status`, `deck`, `gate` and `calendar` read the same deck by this one way; states and ages are reckoned by
the ledger's clock; nothing is imported that a command in a hurry cannot afford.
"""

from datetime import datetime

from muster.deck.model import Deck, build_deck
from muster.settings import Settings


def read_deck(settings: Settings, now: datetime | None = None) -> Deck:
    """The deck of every plan in the plans folder; `now` in place of the ledger's clock, for tests and rehearsals."""
    from muster.ledger.glance import glance
    from muster.ledger.reading import collector_paused
    from muster.planindex import plan_cards

    with collector_paused():
        cards = plan_cards(settings.plans, settings.root / "plans.index.json")
        overview = glance(settings.ledger_url)
        return build_deck(cards, overview, now or overview.now)
