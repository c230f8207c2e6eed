"""The estate's address card: how another process finds the estate, and knows that it is the one we started.

Promises: a card whose keeper is dead is no card; a part whose process died is not on it; a connection to the shop
is given only after the server proved its identity.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from muster.errors import StepError
from muster.settings import Settings
from tasks.process import Identity

if TYPE_CHECKING:
    import psycopg

REGIONS_FOLDER = "regions"
"""Where an estate keeps its pair of regions, below its own folder."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShopCard(_Frozen):
    """The source database: its socket, and what it must answer."""

    process: Identity
    dsn: str
    data: Path
    system_identifier: str


class ObjectsCard(_Frozen):
    """The S3 server. The credentials are in a file that only we can read."""

    process: Identity
    endpoint: str
    bucket: str
    credentials_file: Path

    def credentials(self) -> tuple[str, str]:
        """Access key and secret."""
        return Credentials.model_validate_json(self.credentials_file.read_bytes()).pair


class SchedulerCard(_Frozen):
    """The Prefect server and the pool its worker serves. The UI is at `ui`."""

    process: Identity
    api: str
    ui: str
    pool: str


class RegionsCard(_Frozen):
    """The two regions of a database. Their servers come and go as they are rehearsed: who lives has to be asked."""

    home: Path
    """Where `tasks.regions.pair` finds them."""
    link: str
    """Its form: `namespaces` or `proxy`."""
    dsns: dict[str, str]
    """Of each server, by its region."""
    system_identifier: str


class SchedulersCard(_Frozen):
    """Blue and green: the URL of each one's API by its colour. Their servers may be killed by whoever rehearses."""

    apis: dict[str, str]


class Credentials(_Frozen):
    """Made once per estate, at random."""

    access_key: str
    secret_key: str
    filer_key: str
    """Signs requests to the filer: without it, locked objects could be wiped behind the gateway's back."""

    @property
    def pair(self) -> tuple[str, str]:
        """Access key and secret."""
        return self.access_key, self.secret_key


class Card(_Frozen):
    """Where the estate is. Parts that were not started, or died, are `None`."""

    keeper: Identity
    shop: ShopCard | None = None
    objects: ObjectsCard | None = None
    scheduler: SchedulerCard | None = None
    regions: RegionsCard | None = None
    schedulers: SchedulersCard | None = None

    def connect_source(self, **options: Any) -> "psycopg.Connection[tuple[Any, ...]]":
        """A connection to the shop, in autocommit, after it proved to be ours."""
        import psycopg

        if self.shop is None:
            raise StepError("the estate's shop is not running", "start it with `muster up`")
        connection = psycopg.connect(self.shop.dsn, autocommit=True, **options)
        with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
            answer = cursor.execute(
                "select system_identifier::text, current_setting('data_directory') from pg_control_system()"
            ).fetchone()
        if answer != (self.shop.system_identifier, str(self.shop.data)):
            connection.close()
            raise StepError("another server answers at the shop's address", "restart the estate: `muster up`")
        return connection

    def living(self) -> "Card":
        """The card without the parts whose process died."""
        parts = {"shop": self.shop, "objects": self.objects, "scheduler": self.scheduler}
        return self.model_copy(update={name: None for name, p in parts.items() if p and not p.process.is_alive()})


def card_path(settings: Settings) -> Path:
    """Where the card lies."""
    return settings.estate / "estate.json"


def read_card(settings: Settings) -> Card | None:
    """The card of the estate that is up; `None` when none is."""
    try:
        card = Card.model_validate_json(card_path(settings).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return card.living() if card.keeper.is_alive() else None


def write_card(card: Card, settings: Settings) -> None:
    """Replace the card in one step."""
    path = card_path(settings)
    partial = path.with_suffix(".partial")
    partial.write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
