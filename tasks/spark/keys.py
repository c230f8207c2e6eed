"""Keys of a plan that several Spark targets share.

Promise: no secret is taken in a key, since keys go on record: it is refused by its name, and not repeated.
"""

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from muster.spark.spec import Fault, without_secrets
from tasks.hooks import Hook

_FOLDER = re.compile(r"^[a-z][a-z0-9+.-]*:/\S+$", re.IGNORECASE)
_ADDRESS = re.compile(r"^https?://[^\s@/]+(/\S*)?$", re.IGNORECASE)
_BACK_BY_ITSELF = frozenset({Fault.KILL_EXECUTOR, Fault.KILL_CACHED, Fault.OUT_OF_MEMORY, Fault.LOSE_SHUFFLE_FILE,
                             Fault.CORRUPT_SHUFFLE_BLOCK})  # fmt: skip
"""Faults after which every cluster manager replaces what is gone."""


def _plain(uri: str) -> str:
    if not _FOLDER.match(uri):
        raise ValueError("a folder is written as a URI, such as s3a://bucket/drills or file:/mnt/shared")
    if urlsplit(uri).password:
        raise ValueError("the URI holds a password, which would go on record")
    return uri.rstrip("/")


def _web(url: str) -> str:
    if not _ADDRESS.match(url):
        raise ValueError(f"{url!r} is no address, such as http://host:8080, without a user in it")
    return url.rstrip("/")


SparkSettings = Annotated[Mapping[str, str | int | float | bool], AfterValidator(without_secrets)]
"""Settings that every application of the drill has, whatever its variant."""
Folder = Annotated[str, AfterValidator(_plain)]
"""URI of a folder. Each run makes one of its own in it, and removes that."""


Address = Annotated[str, AfterValidator(_web)]
"""URL of a page or an API."""


class FaultHooks(BaseModel):
    """How the team makes one fault happen, and ends it: `{strike: [...], heal: [...]}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strike: Hook
    heal: Hook | None = None


class Faults(BaseModel):
    """Base of a target's keys: the faults that the team's own commands make."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hooks: Mapping[Fault, FaultHooks] = {}

    @model_validator(mode="after")
    def _hooks_are_whole(self) -> "Faults":
        if Fault.KILL_DRIVER in self.hooks:
            raise ValueError("hooks: kill-driver takes no hook, since the driver is Muster's to start again")
        for fault, hooks in self.hooks.items():
            if hooks.heal is None and fault not in _BACK_BY_ITSELF:
                raise ValueError(f"hooks: {fault} needs 'heal' too; [\"true\"] where it is over by itself")
        return self


def words_of(settings: Mapping[str, str | int | float | bool]) -> dict[str, str]:
    """Settings as Spark reads them."""
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in settings.items()}
