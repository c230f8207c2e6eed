"""Who gives a command: as stated by `--as` or `MUSTER_ACTOR`, else the user of this process."""

import getpass
import os

from muster.settings import Settings


def actor_of(settings: Settings, who: str) -> str:
    """A name, never empty. It is stated, not authenticated."""
    return who.strip() or settings.actor.strip() or _user()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"
