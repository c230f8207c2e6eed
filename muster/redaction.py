"""Redaction: no secret that this process knows goes into evidence, whatever a tool printed.

Promise: a log is rewritten before it is judged or sealed, so that sealing twice gives the same bytes.
What it cannot know: a secret that is neither in an environment variable that looks like one, nor in a DSN there.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

HIDDEN = b"[redacted]"
_SECRET_NAME = re.compile(r"(PASSWORD|PASSPHRASE|SECRET|SECRET_ACCESS_KEY|TOKEN|PRIVATE_KEY)$", re.IGNORECASE)
# libpq reads `password=...` (quoted or not) and `scheme://user:password@host`.
_IN_DSN = (re.compile(r"\bpassword\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S+))"), re.compile(r"://[^/@\s:]*:([^@/\s]+)@"))
_SHORTEST = 4  # what is shorter would blacken half the log, and protects nothing


def known_secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Secrets in the environment: variables named as such, and passwords inside DSNs. The longest first."""
    found = {value for name, value in environment.items() if _SECRET_NAME.search(name)}
    for value in environment.values():
        for pattern in _IN_DSN:
            for match in pattern.finditer(value):
                password = next(group for group in match.groups() if group is not None)
                found |= {password, unquote(password)}
    return tuple(sorted((s for s in found if len(s) >= _SHORTEST), key=len, reverse=True))


def redacted(text: str, environment: Mapping[str, str]) -> str:
    """The text without the secrets of an environment."""
    for secret in known_secrets(environment):
        text = text.replace(secret, HIDDEN.decode())
    return text


def redact_logs(folder: Path, secrets: tuple[str, ...]) -> None:
    """Rewrite every log in the folder that holds a secret; the others stay as they are."""
    hidden = [secret.encode() for secret in secrets]
    for path in sorted(folder.glob("*.log")) if hidden and folder.is_dir() else ():
        if any(secret in line for line in path.open("rb") for secret in hidden):
            _rewrite(path, hidden)


def _rewrite(path: Path, hidden: list[bytes]) -> None:
    partial = path.with_suffix(".partial")
    with path.open("rb") as source, partial.open("wb") as out:
        for line in source:
            for secret in hidden:
                line = line.replace(secret, HIDDEN)
            out.write(line)
    partial.replace(path)
