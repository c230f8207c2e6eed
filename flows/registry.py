"""Which drills and targets there are: a file in `flows/` and a file in `tasks/targets/` each, found by name."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from muster.drill import Drill
from muster.errors import UsageError
from muster.settings import Settings


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
