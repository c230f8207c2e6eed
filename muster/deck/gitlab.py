"""The deck as a GitLab code quality report: merge requests show which drills got worse, and which were mended.

Promises: a problem keeps its fingerprint while it lasts, whatever its age, so that GitLab tells new from old; what is
healthy is not on it.
Source: "Code Quality" (docs.gitlab.com), a subset of the CodeClimate specification.
"""

import hashlib
import json

from muster.deck.model import Deck
from muster.deck.problems import Problem, problems_of

_NOWHERE = "deployments"


def render_code_quality(deck: Deck) -> str:
    """The report, a JSON array."""
    return json.dumps([_entry(problem) for problem in problems_of(deck)], indent=2, ensure_ascii=False) + "\n"


def _entry(problem: Problem) -> dict[str, object]:
    return {
        "description": f"{problem.subject} is {problem.condition}: {problem.words}",
        "check_name": f"muster-{problem.condition.replace(' ', '-')}",
        "fingerprint": hashlib.sha256(f"{problem.subject}\n{problem.condition}".encode()).hexdigest(),
        "severity": "critical" if problem.is_urgent else "major",
        "location": {"path": problem.path or _NOWHERE, "lines": {"begin": 1}},
    }
