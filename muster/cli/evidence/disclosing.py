"""`muster evidence disclose`: one withheld value, proved to whom it concerns."""

import json

from muster.clock import SystemClock
from muster.errors import UsageError
from muster.notary.desk import Desk
from muster.settings import Settings
from muster.verdict import ExitCode


def disclose(settings: Settings, run: str, value: str) -> int:
    """Print salt and digest of a value; the digest stands in the run's evidence where the value was."""
    withholder = Desk(settings, SystemClock()).withholder(run)
    if withholder.text(value) != withholder.token(value):
        raise UsageError(
            "no pattern in 'withhold' fits this value, whole and alone", "give it exactly as it was withheld"
        )
    print(json.dumps(withholder.disclosure(value), indent=2))
    return ExitCode.PASS
