"""Starting a program without root's powers, for servers that refuse to run as root.

Promises: no user is created; nothing happens when we are not root; where neither way works, the error says so.
"""

import os
import pwd
import shutil
import subprocess
from functools import cache
from pathlib import Path

from muster.errors import UsageError

_NAMESPACE = ("unshare", "--user", "--map-user=65534", "--map-group=65534")
"""A user namespace of one: the process sees itself as nobody, keeps its pid, and files keep their owner."""
_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs")


@cache
def prefix() -> tuple[str, ...]:
    """The words to put before an argument list; empty when we are not root. Probed once a process."""
    if os.geteuid() != 0:
        return ()
    for words in (_NAMESPACE, _NOBODY):
        if _works(words):
            return words
    raise UsageError(
        "PostgreSQL does not run as root, and neither `unshare --user` nor `setpriv` works on this machine",
        "run Muster as an ordinary user, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)",
    )


def hand_over(*folders: Path) -> None:
    """Make the folders the unprivileged user's, where that user is another one than ours."""
    if prefix() != _NOBODY:
        return
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 65534, 65534, follow_symlinks=False)


def _works(words: tuple[str, ...]) -> bool:
    if not shutil.which(words[0]) or not _has_name(65534):
        return False
    return subprocess.run([*words, "true"], capture_output=True, timeout=10, check=False).returncode == 0


def _has_name(uid: int) -> bool:
    """Initdb asks for a user with a name."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
