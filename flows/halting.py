"""The kill switch as a Prefect variable, beside the one in the ledger: whoever sees only the UI can throw it too.

Promises: any value of the variable is a stop; a server that cannot be asked is a stop as well, at once when a drill
is about to start, after a minute when one is running, so that a restart of the server does not end it.
"""

import json
import time
from collections.abc import Callable

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

VARIABLE = "muster_stop_all"
_PATIENCE_SECONDS = 60.0
_REQUEST_SECONDS = 2.0


class StopVariable:
    """Reads the variable; called from the thread that watches over a run."""

    def __init__(self, ask: Callable[[], object] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock = ask or read_variable, clock
        self._answered_at: float | None = None

    def __call__(self) -> str:
        """Why to stop, or nothing."""
        try:
            value = self._ask()
        except Exception as error:  # whatever is wrong, the switch was not seen to be off
            now = self._clock()
            if self._answered_at is not None and now - self._answered_at < _PATIENCE_SECONDS:
                return ""
            return f"the variable {VARIABLE} cannot be read: {type(error).__name__}"
        self._answered_at = self._clock()
        return "" if value is None else f"the variable {VARIABLE} is set: {words_of(value)}"


def read_variable() -> object:
    """The variable's value; `None` when there is none. Raises when the server cannot be asked."""
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: _REQUEST_SECONDS}),
        get_client(sync_client=True) as client,
    ):
        return value_of(client)


def value_of(client: SyncPrefectClient) -> object:
    """The variable's value as this client sees it. An empty one is a stop without a reason."""
    found = client.read_variable_by_name(VARIABLE)
    if found is None:
        return None
    return "no reason given" if found.value in (None, "") else found.value


def words_of(value: object) -> str:
    """The reason in the value, whether it was set by `muster stop-all` or typed in the UI."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    if isinstance(value, dict) and "reason" in value:
        return f"{value['reason']} ({value['by']})" if value.get("by") else str(value["reason"])
    return str(value)
