"""Where things are: read once from the environment (`MUSTER_*`), passed in from there on."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from muster.errors import UsageError

_PREFIX = "MUSTER_"
_NOT_SETTINGS = {"MUSTER_LINEAGE", "MUSTER_TICK"}  # marks the processes that Muster starts; the tick that a job serves


class Settings(BaseModel):
    """One installation's folders and addresses. Secrets are never settings: they are named by them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Path(".muster")
    """The data directory: ledger, keys, runs, outbox, the embedded estate."""
    plans: Path = Path("deployments")
    ledger: str = ""
    """SQLAlchemy URL; default: SQLite in the data directory."""
    store: str = ""
    """Evidence store: a folder, or `s3://bucket/prefix`; default: the embedded estate's bucket, else a folder."""
    store_endpoint: str = ""
    """URL of an S3 server other than AWS."""
    store_lock_days: int | None = None
    """Days of Object Lock retention asked for with each bundle; default: whatever the bucket's own default is."""
    ping_url: str = ""
    """The watch calls this URL after each round that went well (a dead man's switch, such as healthchecks.io): when
    the calls stop, whoever is behind it raises the alarm."""
    scheduler: str = ""
    """URL of the Prefect API that the watch asks for its health; default: the embedded estate's."""
    actor: str = ""
    """Who asks for runs, approvals and stops on the command line, where `--as` does not say; default: the user."""
    holder: str = ""
    """The scheduler that starts jobs here, as claims of ticks name it, where `--holder` does not say."""
    when_away: Literal["", "run", "wait"] = ""
    """What a job does while the ledger of its claim is away, where its claim does not say."""
    signing_key: Path | None = None
    """PEM file with the Ed25519 private key; default: made once in the data directory."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """The settings in `MUSTER_*`; an unknown one is a `UsageError`, since a typo would be silent otherwise."""
        keys = {k.removeprefix(_PREFIX).lower(): v for k, v in environment.items()
                if k.startswith(_PREFIX) and k not in _NOT_SETTINGS}  # fmt: skip
        try:
            return cls.model_validate(keys)
        except ValidationError as error:
            faults = "; ".join(f"{_PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
            raise UsageError(f"the environment is wrong: {faults}", "docs/settings.md lists every variable") from None

    @property
    def root(self) -> Path:
        """The data directory, absolute."""
        return self.home.expanduser().absolute()

    @property
    def ledger_url(self) -> str:
        """The ledger's SQLAlchemy URL."""
        return self.ledger or f"sqlite:///{self.root / 'ledger.sqlite'}"

    @property
    def runs(self) -> Path:
        """One folder a run: scratch, logs, process records."""
        return self.root / "runs"

    @property
    def outbox(self) -> Path:
        """Sealed bundles on their way to the store."""
        return self.root / "outbox"

    @property
    def estate(self) -> Path:
        """The embedded estate's data and its address card."""
        return self.root / "estate"

    @property
    def key_file(self) -> Path:
        """The private signing key."""
        return (self.signing_key or self.root / "keys" / "signing.pem").expanduser().absolute()

    @property
    def public_key_file(self) -> Path:
        """The public half of the key that seals now."""
        return self.key_file.with_suffix(".pub")

    @property
    def pinned_key_file(self) -> Path:
        """The public key that verifiers pin: the first one, also after keys have changed."""
        first = self.key_file.with_name("pinned.pub")
        return first if first.exists() else self.public_key_file
