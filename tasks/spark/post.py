"""How a drill and its driver talk: files in a folder, each complete when it appears.

Promises: who dies leaves what was said readable; a file is never seen half-written; nothing is said twice.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from muster.spark.observations import Inspection, Question

M = TypeVar("M", bound=BaseModel)
CONFIG, UP, END = "driver.json", "up.json", "end"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Config(_Frozen):
    """What a driver is started with."""

    application: str
    """Its name."""
    master: str
    settings: Mapping[str, str]
    workload: Mapping[str, Any]
    data: str
    """URI of the run's folder."""


class Up(_Frozen):
    """A driver has its application."""

    application: str
    """Its id."""
    ui: str
    """Where its status can be asked; empty when it has none."""
    spark: str
    java: str
    cores: int
    """That it was given so far."""


class Ask(_Frozen):
    """A lap to run."""

    number: int
    """Of what this driver is asked, from 0."""
    lap: int
    """Of the drill's laps."""
    group: str
    words: str
    disturbed: bool = False
    is_again: bool = False
    """Whether an earlier driver died in it."""


class Told(_Frozen):
    """How a lap ended."""

    number: int
    question: Question | None = None
    """What the driver really ran."""
    state: Literal["succeeded", "failed"]
    error: str = ""
    began_ms: int
    ended_ms: int
    seconds: float
    inspect_seconds: float = 0.0
    inspection: Inspection | None = None


def say(folder: Path, name: str, what: BaseModel) -> None:
    """Make a file appear, complete."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{name}.partial"
    partial.write_text(what.model_dump_json(), encoding="utf-8")
    partial.replace(folder / name)


def hear(folder: Path, name: str, model: type[M]) -> M | None:
    """What a file says; `None` while it is not there."""
    try:
        return model.model_validate_json((folder / name).read_bytes())
    except FileNotFoundError:
        return None


def ask_name(number: int) -> str:
    """The file that asks for a lap."""
    return f"lap-{number:03d}.ask.json"


def told_name(number: int) -> str:
    """The file that tells how it ended."""
    return f"lap-{number:03d}.told.json"
