"""Where everything is put together: drills and targets found by name, the store by the settings."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from evidence.errors import StoreUnreachable
from evidence.stores import Store, open_store
from muster.clock import SystemClock
from muster.conduct import Conductor
from muster.drill import Drill
from muster.errors import UsageError
from muster.ledger import Ledger
from muster.notary.policy import read_policy
from muster.settings import Settings
from tasks.estate.card import read_card

LOCK_DAYS = 1
"""Retention in the demo estate's bucket; a bucket of yours has its own policy in `MUSTER_STORE_LOCK_DAYS`."""


def drill_of(kind: str) -> Drill:
    """The drill of a kind, from `flows/KIND.py`. A module that fails to import is an error, never skipped."""
    drill: Drill = import_module(f"flows.{kind}").DRILL
    return drill


def open_target(keys: Mapping[str, Any], settings: Settings) -> Any:
    """The target that a plan names, from `tasks/targets/TYPE.py`."""
    name = str(keys["type"])
    module = f"tasks.targets.{name.replace('-', '_')}"
    try:
        return import_module(module).open_target(dict(keys), settings)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise UsageError(f"there is no target of type {name!r}", "docs/restore.md lists the types") from None
    except ValidationError as error:
        faults = "; ".join(f"target.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UsageError(faults, "mend these keys of the plan's target; docs/restore.md lists them") from None


def store_of(settings: Settings, credentials: tuple[str, str] | None = None) -> Store:
    """The evidence store: the one that is configured, else the estate's bucket, else a folder.

    `credentials` are those for the configured one; without them boto3 looks in its usual places.
    Once there is an estate its bucket is the store, up or not: evidence is never spread over two places.
    """
    if settings.store:
        lock = read_policy(settings.plans).lock
        return open_store(
            settings.store,
            settings.store_endpoint,
            lock_days=lock.days or settings.store_lock_days,
            lock_mode=lock.mode,
            legal_hold=lock.legal_hold,
            credentials=credentials,
        )
    card = read_card(settings)
    if card and card.objects:
        where = card.objects
        return open_store(f"s3://{where.bucket}", where.endpoint, lock_days=LOCK_DAYS, credentials=where.credentials())
    if (settings.estate / "objects").exists():
        raise StoreUnreachable("the estate's object store is not up", "start it with `muster up`: the bundles wait")
    return open_store(str(settings.root / "store"))


def conductor_of(settings: Settings, ledger: Ledger, credentials: tuple[str, str] | None = None) -> Conductor:
    """A conductor for this installation."""
    return Conductor(settings, ledger, SystemClock(), drill_of, open_target, lambda: store_of(settings, credentials))
