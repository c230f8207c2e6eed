"""`muster evidence package`: one sealed package for a release and a period, in a folder and in the store.

Promises: a package that was made twice is kept once; the newest head is vouched for first, by whom the policy names.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evidence.outbox import Outbox
from flows.registry import conductor_of, store_of
from muster.cards import card_of
from muster.cli.evidence.reading import open_vault
from muster.clock import SystemClock
from muster.ledger import open_ledger
from muster.notary.desk import Desk
from muster.notary.outsiders import authorities_of, witnesses_of
from muster.notary.plans import tell_plans
from muster.notary.rounds import go_round
from muster.package.gather import Sources
from muster.package.period import parse_period
from muster.package.releasing import package_release
from muster.package.sealed import read_package
from muster.plan import load_plans
from muster.settings import Settings
from muster.verdict import ExitCode


def package(settings: Settings, release: str, period: str, output: Path, *, as_json: bool) -> int:
    """Make the package, and print where it is and what it says in numbers."""
    desk, store = Desk(settings, SystemClock()), store_of(settings)
    spoken = parse_period(period) if period else None
    policy = desk.policy
    with open_ledger(settings.ledger_url) as ledger:
        plans = load_plans(settings.plans)
        telling = tell_plans(conductor_of(settings, ledger), list(map(card_of, plans)))
        vouched = go_round(desk.notary(store), policy)
        sources = Sources(
            vault=open_vault(settings),
            ledger=ledger,
            plans=plans,
            outbox=Outbox(settings.outbox),
            authorities=authorities_of(policy),
            witnesses=witnesses_of(policy),
            hide=desk.withholder(release),
        )
        made = package_release(sources, release, spoken, desk.signer, output)
    place, said = made.path, read_package(made.path).predicate
    key = f"packages/{place.name}"
    store.put(key, place, made.sha256)
    desk.notary(store).enter(key, place)  # anew: the log may have grown meanwhile
    problems = (*filter(None, [telling.problem]), *vouched.problems)
    told = {"package": str(place), "sha256": made.sha256, "says": said, "problems": problems}
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        _show(settings, place, said, problems)
    return ExitCode.PASS


def _show(settings: Settings, place: Path, said: Mapping[str, Any], problems: tuple[str, ...]) -> None:
    for words in problems:
        print(words)
    period, population = said["period"], said["population"]
    ends = ", ".join(f"{number} {outcome}" for outcome, number in sorted(population["outcomes"].items()))
    print(f"{place}: {period['name']}, {population['slots']} slots: {ends or 'none was due'}")
    if population["troubled"]:
        print(f"{population['troubled']} of them have no sealed record, or another trouble: the report says which")
    print(f"Check it: muster verify {place} --key {settings.pinned_key_file}")
