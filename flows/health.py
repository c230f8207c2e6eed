"""The watch that Prefect runs: accounts for slots, starts those that did not start, writes the deck.

Promises: it does what `muster watch` does from outside, by the same round, so that people are told once by whichever
comes first; a round that finds plans unwell completes: the watch itself is well; it commits nothing.
"""

from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_UI_URL
from prefect.states import Completed

from flows.blocks import installation
from flows.remote import end_crashed, end_forgotten, start_slot
from flows.showing import tell, unharmed
from muster.conduct import Conductor
from muster.deck.files import renew_file, write_form
from muster.deck.html import render_html
from muster.deck.jsonform import write_json
from muster.deck.markdown import render_markdown
from muster.deck.model import Deck
from muster.deck.reading import read_deck
from muster.deck.section import renew
from muster.deck.wording import gravest_first, headline
from muster.ledger import open_ledger
from muster.notify.send import Notifier
from muster.readiness.looking import Looker
from muster.settings import Settings
from muster.watch.concerns import MUSTER, Concern, Condition, Key
from muster.watch.conditions import OF_READINESS
from muster.watch.round import Round, run_round
from muster.watch.shelf import Shelf
from muster.watch.sights import look_at_targets

_LOOKING_SECONDS = 60
_OVERDUE = frozenset({Condition.OVERDUE, Condition.NEVER_RUN})


def deck_folder(settings: Settings) -> Path:
    """Where the round puts the deck."""
    return settings.root / "deck"


@flow(name="health", flow_run_name=lambda: f"health · {datetime.now(UTC):%Y-%m-%d %H:%MZ}", retries=0)
def health() -> State:
    """Account for every slot, raise and resolve alerts, start what did not start, write the deck."""
    here = installation(Settings.from_environment())
    settings, shelf = here.settings, Shelf(here.settings.plans)
    shelf.read()
    with open_ledger(settings.ledger_url) as ledger:
        conductor = here.conductor(ledger)
        _finish_the_dead(settings, conductor)
        look_at_targets(conductor, shelf.plans, _LOOKING_SECONDS)
        outbound = Notifier(shelf.routes, link=str(PREFECT_UI_URL.value() or ""))
        done = run_round(
            conductor,
            shelf.plans,
            shelf.cards,
            outbound,
            read_all=shelf.is_whole,
            looked=_looked_at(shelf),
            looker=Looker("health"),
        )
    _start_late_slots(settings, shelf, done)
    _tell_overdue(shelf, done)
    _tell_readiness(shelf, done)
    deck = read_deck(settings)
    _write(settings, deck)
    _show(deck)
    return Completed(message=headline(deck))


def _finish_the_dead(settings: Settings, conductor: Conductor) -> None:
    """Undo and seal what killed drills left, and take flow runs out of `Running`, where Prefect leaves them."""
    for name in conductor.finish_dead_runs():
        get_run_logger().warning("run %s had died: undone and sealed", name)
        with unharmed("the end of a killed run"):
            end_crashed(settings, conductor.ledger.run(name))
    with unharmed("the end of a run that could not tell it"):
        end_forgotten(settings, conductor.ledger)


def _looked_at(shelf: Shelf) -> dict[Key, Concern | None]:
    faults = {
        Condition.PLANS_UNREADABLE: "; ".join(shelf.plan_faults),
        Condition.ROUTES_UNREADABLE: shelf.route_fault,
    }
    return {(MUSTER, c.value): Concern(MUSTER, c, why) if why else None for c, why in faults.items()}


def _start_late_slots(settings: Settings, shelf: Shelf, done: Round) -> None:
    plans = {plan.name: plan for plan in shelf.plans}
    for name, tick in done.accounted.startable:
        with unharmed(f"the start of {name}"):
            started = start_slot(settings, plans[name], tick)
            get_run_logger().info("slot %s of %s had not started: flow run %s", tick.isoformat(), name, started)


def _tell_overdue(shelf: Shelf, done: Round) -> None:
    """Once each time a plan becomes overdue: the event starts another round, which finds nothing new to tell."""
    plans = {plan.name: plan for plan in shelf.plans}
    for concern in done.raised:
        if concern.condition in _OVERDUE and concern.subject in plans:
            tell(plans[concern.subject], "plan.overdue", concern.why)


def _tell_readiness(shelf: Shelf, done: Round) -> None:
    """Once each time a target stops being ready or seen, and once when it is ready again."""
    plans = {plan.name: plan for plan in shelf.plans}
    for concern in done.raised:
        if concern.condition in OF_READINESS and concern.subject in plans:
            tell(plans[concern.subject], f"plan.{concern.condition.value.replace(' ', '-')}", concern.why)
    for alert in done.resolved:
        if alert.condition in OF_READINESS and alert.subject in done.ready and alert.subject in plans:
            tell(plans[alert.subject], "plan.ready", f"it was {alert.condition} since {alert.since:%Y-%m-%d %H:%M} UTC")


def _write(settings: Settings, deck: Deck) -> None:
    page = deck_folder(settings) / "ci_health.md"
    body = render_markdown(deck)
    renew_file(page, lambda old: renew(old, body, str(page)))
    write_form(page.with_name("deck.json"), write_json(deck))
    write_form(page.with_name("deck.html"), render_html(deck))


def _show(deck: Deck) -> None:
    rows = [
        {"plan": row.plan or row.kind, "state": row.state.value, "why": row.why, "owner": row.owner}
        for row in gravest_first(deck.rows)
    ]
    with unharmed("the deck"):
        create_table_artifact(rows, key="health", description=headline(deck))
        create_markdown_artifact(render_markdown(deck, to_the_minute=True), key="health-deck")
