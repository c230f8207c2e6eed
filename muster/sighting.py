"""What a target is, as a digest: with another one, what passed was another system (DORA Art. 11(6)(a)).

Promise: what could not be seen has no digest, and so never reads as changed.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from muster.drill import Drill
from muster.errors import Refusal
from muster.journal import EventKind, History


def sighted(drill: Drill, target: Any) -> dict[str, str]:
    """The small facts that say what a target is; none when it cannot be looked at."""
    if isinstance(target, Refusal) or not isinstance(target, drill.needs):
        return {}
    try:
        return drill.sight(target)
    except Exception:  # whatever it was, the drill itself will meet it, and tell
        return {}


def digest_of(facts: Mapping[str, str], brief: Mapping[str, Any]) -> str | None:
    """SHA-256 of the facts and of the committed catalog, if the drill's brief holds one."""
    if not facts:
        return None
    content = {"target": dict(facts)}
    if catalog := brief.get("catalog"):
        content["catalog"] = {"sha256": hashlib.sha256("\n".join(catalog).encode()).hexdigest()}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def digest_in(history: History) -> str | None:
    """The digest that a run noted; `None` where it did not come so far."""
    return next((str(e.body["target_digest"]) for e in history.of(EventKind.NOTED) if "target_digest" in e.body), None)
