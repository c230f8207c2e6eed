"""Routes: where messages go, from `deployments/routes.yaml`.

Promises: an unknown key is an error that names it; a route names its secrets and never holds one; a file that is
missing means no routes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from pydantic import Field, field_validator, model_validator

from muster.cards import PlanCard
from muster.notify.message import Severity
from muster.plan import KINDS, Environment, Strict
from muster.strictyaml import read_model
from muster.webaddress import web_address

FILE = "routes.yaml"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"


class Route(Strict):
    """One place that messages go to, and which ones."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    apprise_env: str | None = Field(default=None, pattern=_VARIABLE)
    """Name of the environment variable that holds an Apprise URL: Slack, PagerDuty, mail, Teams and many more."""
    webhook: str | None = None
    """URL that gets a signed POST by the Standard Webhooks specification."""
    secret_env: str | None = Field(default=None, pattern=_VARIABLE)
    """Name of the variable that holds the webhook's secret, `whsec_` and base64."""
    severities: tuple[Severity, ...] = Field(default=tuple(Severity), min_length=1)
    plans: tuple[str, ...] = Field(default=("*",), min_length=1)
    """Shell patterns of plan names, any of which has to fit."""
    kinds: tuple[str, ...] = ()
    """Kinds of drill; with none, every kind."""
    environments: tuple[Environment, ...] = ()

    @field_validator("webhook")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        return None if value is None else web_address(value, "name the secret in 'secret_env' instead")

    @field_validator("apprise_env", "secret_env")
    @classmethod
    def _is_no_setting(cls, value: str | None) -> str | None:
        if value and value.startswith("MUSTER_"):
            raise ValueError("variables that begin with MUSTER_ are settings: give this one another name")
        return value

    @field_validator("kinds")
    @classmethod
    def _are_kinds(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [kind for kind in value if kind not in KINDS]:
            raise ValueError(f"{', '.join(unknown)} is no kind of drill: one of {', '.join(KINDS)}")
        return value

    @model_validator(mode="after")
    def _goes_one_way(self) -> "Route":
        if (self.apprise_env is None) == (self.webhook is None):
            raise ValueError("a route has an 'apprise_env' or a 'webhook': one of them")
        if (self.webhook is None) != (self.secret_env is None):
            raise ValueError("'webhook' and 'secret_env' go together")
        return self

    def fits(self, card: PlanCard) -> bool:
        """Whether messages about this plan take this route, unless the plan names its routes itself."""
        return (
            any(fnmatchcase(card.name, pattern) for pattern in self.plans)
            and (not self.kinds or card.kind in self.kinds)
            and (not self.environments or card.environment in self.environments)
        )


class _File(Strict):
    routes: tuple[Route, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> "_File":
        names = [route.name for route in self.routes]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two routes are named {', '.join(twice)}")
        return self


@dataclass(frozen=True)
class Routes:
    """Every route there is."""

    all: tuple[Route, ...] = ()

    @property
    def by_name(self) -> dict[str, Route]:
        """Routes by their names."""
        return {route.name: route for route in self.all}

    def of(self, severity: Severity, card: PlanCard | None = None) -> tuple[Route, ...]:
        """Where a message goes: to the routes that its plan names, else to those that fit; by severity either way.

        What is about no single plan concerns everyone: there only the severity decides.
        """
        grave = [route for route in self.all if severity in route.severities]
        named = set(card.notifications) & set(self.by_name) if card else set()
        if named:
            return tuple(route for route in grave if route.name in named)
        return tuple(route for route in grave if card is None or route.fits(card))


class NamesRoutes(Protocol):
    """A plan or its card."""

    @property
    def name(self) -> str:
        """The plan's name."""
        ...

    @property
    def notifications(self) -> tuple[str, ...]:
        """The routes that it names."""
        ...


def load_routes(folder: Path) -> Routes:
    """Read `routes.yaml` in the plans folder; a `UsageError` names every fault in it."""
    try:
        return Routes(read_model(folder / FILE, _File, "file", "docs/notifications.md").routes)
    except FileNotFoundError:
        return Routes()


def check_plan_routes(plans: Iterable[NamesRoutes], routes: Routes) -> tuple[str, ...]:
    """What is wrong with the routes that plans name: one sentence a fault."""
    return tuple(
        f"plan {plan.name} names route {name!r}, which is not in {FILE}"
        for plan in plans
        for name in plan.notifications
        if name not in routes.by_name
    )
