"""Routes that Apprise knows: Slack, PagerDuty, mail, Teams and a hundred more, behind one URL each.

Promise: what Apprise logs goes nowhere, since it may quote the URL with the secret in it.
"""

import logging

from muster.notify.message import Event, Message, Severity
from muster.notify.refusal import Patience, RouteRefuses

_TYPES = {Severity.CRITICAL: "failure", Severity.WARNING: "warning", Severity.INFO: "info"}


def post_apprise(url: str, message: Message, patience: Patience) -> None:
    """Send it once (Apprise has retries of its own where a service asks for them); raises `RouteRefuses`."""
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

    _silence()
    asset = AppriseAsset(app_id="Muster", app_desc="Muster", async_mode=False, storage_mode="memory")
    services = Apprise(asset=asset)
    if not services.add(url) or not len(services):
        raise RouteRefuses("Apprise does not know this URL")
    for service in services:
        service.socket_connect_timeout = min(service.socket_connect_timeout, patience.answer)
        service.socket_read_timeout = min(service.socket_read_timeout, patience.answer)
    kind = "success" if message.event is Event.RESOLVED else _TYPES[message.severity]
    took = services.notify(
        body=message.body, title=message.title, notify_type=NotifyType(kind), body_format=NotifyFormat.TEXT
    )
    if not took:
        raise RouteRefuses("Apprise could not deliver it; `apprise -vv -b test URL` says why")


def _silence() -> None:
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.setLevel(logging.CRITICAL + 10)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
