"""Where things are: read once from the environment (`MUSTER_*`), passed in from there on."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One installation's folders and addresses. Secrets are never settings: they are named by them."""

    model_config = SettingsConfigDict(env_prefix="MUSTER_", frozen=True, extra="forbid")

    home: Path = Path(".muster")
    """The data directory: ledger, keys, runs, outbox, the embedded estate."""
    plans: Path = Path("deployments")
    ledger: str = ""
    """SQLAlchemy URL; default: SQLite in the data directory."""
    store: str = ""
    """Evidence store: a folder, or `s3://bucket/prefix`; default: the embedded estate's bucket, else a folder."""
    store_endpoint: str = ""
    """URL of an S3 server other than AWS."""
    signing_key: Path | None = None
    """PEM file with the Ed25519 private key; default: made once in the data directory."""

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
        """The public key that verifiers pin."""
        return self.key_file.with_suffix(".pub")
