"""The estate's deployments: the plans as they are now, deployed by stock `prefect deploy`; those gone are taken away.

Promises: what is deployed is what the plans say, whatever the checkout's prefect.yaml says; only deployments that
carry Muster's tag are ever taken away.
"""

import json
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError

import yaml
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from muster.plan import load_plans
from muster.prefectfile import TAG, prefect_file
from muster.settings import Settings
from tasks.estate.loopback import ask_http

_PAGE = 200


def write_prefect_file(settings: Settings, folder: Path) -> Path:
    """Render prefect.yaml for these plans; a wrong plan is a `UsageError`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "prefect.yaml"
    path.write_text(prefect_file(load_plans(settings.plans)), encoding="utf-8")
    return path


def take_away_others(api: str, rendered: Path) -> tuple[str, ...]:
    """Delete the deployments of ours that are not in the file; returns their names.

    Each is paused first: deleting one leaves its scheduled runs behind (PrefectHQ/prefect#15697), pausing does not.
    """
    wanted = {(_flow_of(d["entrypoint"]), d["name"]) for d in yaml.safe_load(rendered.read_text())["deployments"]}
    gone = []
    for deployment in _ours(api):
        if (deployment["flow"], deployment["name"]) not in wanted:
            _ask(f"{api}/deployments/{deployment['id']}/pause_deployment", {})
            _ask(f"{api}/deployments/{deployment['id']}", method="DELETE")
            gone.append(deployment["name"])
    return tuple(gone)


def _ours(api: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    while True:
        body = {"deployments": {"tags": {"all_": [TAG]}}, "limit": _PAGE, "offset": len(found)}
        page = json.loads(_ask(f"{api}/deployments/filter", body))
        found += [{"id": d["id"], "name": d["name"], "flow": _flow_of(d["entrypoint"])} for d in page]
        if len(page) < _PAGE:
            return found


def _is_busy(error: BaseException) -> bool:
    """A server whose database is busy says 503; Prefect's own client tries again as well."""
    return isinstance(error, HTTPError) and error.code == HTTPStatus.SERVICE_UNAVAILABLE


@retry(retry=retry_if_exception(_is_busy), wait=wait_fixed(1), stop=stop_after_delay(60), reraise=True)
def _ask(url: str, body: object = None, *, method: str | None = None) -> bytes:
    return ask_http(url, body, method=method)


def _flow_of(entrypoint: str) -> str:
    """Flows are named as their function is."""
    return entrypoint.rpartition(":")[2]
