"""The deck as the body of a comment on a pull request, found again by a hidden mark and edited in place.

Promises: the mark is the first line; the body fits into what GitHub takes (65,536 characters).
"""

from muster.deck.markdown import render_markdown
from muster.deck.model import Deck

MARK = "<!-- muster:deck -->"
"""By this the workflow in docs/ci/ finds the comment that it wrote before."""
_ROOM = 60_000


def render_comment(deck: Deck) -> str:
    """The comment's body."""
    return f"{MARK}\n### Resilience drills\n\n{render_markdown(deck, room=_ROOM, to_the_minute=True)}"
