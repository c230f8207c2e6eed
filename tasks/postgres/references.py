"""Reference files: one JSON file a reference, in one folder."""

from pathlib import Path

from pydantic import ValidationError

from muster.errors import UsageError
from muster.restore.observations import Reference


def read_references(folder: Path | None) -> tuple[Reference, ...]:
    """Every reference in the folder, by name. A damaged one is an error, never skipped."""
    if folder is None or not folder.is_dir():
        return ()
    return tuple(_read(path) for path in sorted(folder.glob("*.json")))


def _read(path: Path) -> Reference:
    try:
        return Reference.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(f"{path} is no reference: {error}", "take it again with `muster reference`") from None


def write_reference(reference: Reference, folder: Path) -> Path:
    """Keep a reference as `POINT.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{reference.point}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(reference.model_dump_json(indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
    return path
