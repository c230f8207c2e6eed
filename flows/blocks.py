"""Prefect blocks that say where evidence goes and where the ledger is, for those who keep their secrets in Prefect.

Promises: a block named `muster` overrides the worker's `MUSTER_STORE*` or `MUSTER_LEDGER`, and only for flows; without
one the environment holds; a block that is there and cannot be used ends the flow run before anything is on record:
evidence is never spread over two places. No secret of theirs reaches logs, arguments, journal or evidence.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, cast

from prefect.blocks.core import Block
from prefect.exceptions import ObjectNotFound
from pydantic import Field, SecretStr

from flows.registry import conductor_of
from muster.conduct import Conductor
from muster.errors import UsageError
from muster.ledger import Ledger
from muster.settings import Settings

NAME = "muster"
"""Of the block document that counts, one of each type."""
_DOCUMENTATION = "docs/prefect.md"
_B = TypeVar("_B", bound=Block)


class MusterStore(Block):
    """Where sealed bundles go."""

    _block_type_name: ClassVar[str] = "Muster store"
    _block_type_slug: ClassVar[str] = "muster-store"
    _description: ClassVar[str] = f"Where Muster's flows send sealed evidence. The one named `{NAME}` counts."

    url: str = Field(title="Address", min_length=1, description="A folder, or `s3://bucket/prefix`.")
    endpoint: str = Field("", description="URL of an S3 server other than AWS.")
    lock_days: int | None = Field(None, ge=1, description="Days of Object Lock retention asked for with each bundle.")
    access_key: SecretStr | None = Field(None, description="Without it boto3 looks where it always does.")
    secret_key: SecretStr | None = None

    @property
    def credentials(self) -> tuple[str, str] | None:
        """The access key's id and secret; `UsageError` when there is only one of them."""
        given = [key.get_secret_value() for key in (self.access_key, self.secret_key) if key]
        if not any(given):
            return None
        if len(given) != 2 or not all(given):
            raise UsageError(
                f"the block {self._block_type_slug}/{NAME} has half a key", "give both, access key and secret key"
            )
        return given[0], given[1]


class MusterLedger(Block):
    """Where runs and journals are."""

    _block_type_name: ClassVar[str] = "Muster ledger"
    _block_type_slug: ClassVar[str] = "muster-ledger"
    _description: ClassVar[str] = f"The database of Muster's runs and journals. The one named `{NAME}` counts."

    url: SecretStr = Field(
        title="Address", description="SQLAlchemy URL, such as postgresql://muster@db.internal/muster."
    )


TYPES: tuple[type[Block], ...] = (MusterStore, MusterLedger)


@dataclass(frozen=True)
class Installation:
    """The settings that a flow runs by, and the store's credentials where a block has them."""

    settings: Settings = field(repr=False)
    credentials: tuple[str, str] | None = field(default=None, repr=False)

    def conductor(self, ledger: Ledger) -> Conductor:
        """A conductor for it."""
        return conductor_of(self.settings, ledger, self.credentials)


def installation(settings: Settings) -> Installation:
    """These settings, with what the blocks say instead. Call it where a Prefect server can be asked."""
    changes: dict[str, Any] = {}
    credentials = None
    if store := _loaded(MusterStore):
        changes |= {"store": store.url, "store_endpoint": store.endpoint, "store_lock_days": store.lock_days}
        credentials = store.credentials
    if ledger := _loaded(MusterLedger):
        changes["ledger"] = ledger.url.get_secret_value()
    return Installation(settings.model_copy(update=changes), credentials)


def register() -> None:
    """Make the types known to the server, as `prefect block register --file` does. Safe to repeat."""
    for kind in TYPES:
        kind.register_type_and_schema(_sync=True)  # type: ignore[call-arg]  # consumed by Prefect's dispatch


def _loaded(kind: type[_B]) -> _B | None:
    """The block of this type that counts; `None` where there is none."""
    try:
        found = kind.load(NAME, _sync=True)  # type: ignore[call-arg]  # likewise
    except Exception as error:  # Prefect raises a bare ValueError for what is not there, with the reason as its cause
        if isinstance(error.__cause__, ObjectNotFound):
            return None
        # The cause is not repeated: it may quote what the block holds.
        raise UsageError(
            f"the block {kind.get_block_type_slug()}/{NAME} cannot be read: {type(error).__name__}",
            "mend it in the UI under Blocks, or delete it to use the worker's environment",
        ) from None
    return cast(_B, found)
