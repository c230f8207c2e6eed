"""YAML as our files are written in it: plain data, each key once.

Promises: nothing but plain data comes out; a key that stands twice is an error that names its line (YAML 1.2 asks for
it, PyYAML does not); libyaml reads where it is there, ten times faster than Python.
"""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml import YAMLError

from muster.errors import UsageError

__all__ = ["YAMLError", "read_model", "read_yaml"]

Model = TypeVar("Model", bound=BaseModel)
_WORDS = {"extra_forbidden": "there is no such key", "missing": "it is missing"}
"""By pydantic's type of error, what is said in place of its own words."""

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _UniqueKeys(_Base):  # type: ignore[misc]
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(k, deep=True) for k, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", node.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_yaml(text: str) -> Any:
    """The data in one YAML document; raises `YAMLError`."""
    try:
        return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
    except (ValueError, RecursionError) as error:  # a date such as 2026-13-45; brackets without end
        raise YAMLError(str(error)) from None


def read_model(path: Path, model: type[Model], whole: str, page: str) -> Model:
    """What a file holds, as a model; a `UsageError` names every fault in it by its key.

    `whole` names what the file is, for faults of no single key; `page` lists the keys. An empty file is one without
    keys. Raises `FileNotFoundError`: what that means is the caller's to say.
    """
    try:
        raw = read_yaml(path.read_text(encoding="utf-8"))
        return model.model_validate({} if raw is None else raw)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "check the file and its permissions") from None
    except YAMLError as error:
        raise UsageError(f"{path} is no valid YAML: {error}", "mend the line it names") from None
    except ValidationError as error:
        # The input is not repeated: where the name of a secret is asked for, somebody may have put the secret itself.
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or whole}: {_words(e)}" for e in error.errors())
        raise UsageError(f"{path}: {faults}", f"mend these keys; {page} lists every key") from None


def _words(fault: Any) -> str:
    return _WORDS.get(fault["type"]) or str(fault["msg"]).removeprefix("Value error, ")
