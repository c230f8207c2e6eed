"""`muster evidence portal`: the pages for auditors, into the store or a folder."""

import json
import mimetypes
from pathlib import Path

from evidence import durable
from evidence.outbox import Outbox
from muster.cli.evidence.reading import open_vault
from muster.ledger import open_ledger
from muster.notary.outsiders import authorities_of, witnesses_of
from muster.notary.policy import read_policy
from muster.plan import load_plans
from muster.portal.gather import Sources, gather
from muster.portal.page import render_portal
from muster.quantity import count_of
from muster.settings import Settings
from muster.verdict import ExitCode


def portal(settings: Settings, output: Path | None, *, as_json: bool) -> int:
    """Draw the portal; into the store beside the evidence, or below a folder."""
    policy, vault = read_policy(settings.plans), open_vault(settings)
    with open_ledger(settings.ledger_url) as ledger:
        data = gather(
            Sources(
                vault=vault,
                ledger=ledger,
                plans=load_plans(settings.plans),
                outbox=Outbox(settings.outbox),
                cache=settings.root / "cache",
                authorities=authorities_of(policy),
                witnesses=witnesses_of(policy),
            )
        )
    files = render_portal(data)
    for key, content in files.items():
        if output is None:
            vault.store.publish(key, content, _media_type(key))
        else:
            durable.make_folders((output / key).parent)
            durable.write(output / key, content)
    place = f"{vault.store.where}/portal/index.html" if output is None else str(output / "portal" / "index.html")
    if as_json:
        print(json.dumps({"portal": place, "files": len(files), "entries": data.size}))
    else:
        print(f"{place}: {count_of(data.size, 'entry', 'entries')} of the log, {count_of(len(files), 'file', 'files')}")
    return ExitCode.PASS


def _media_type(key: str) -> str:
    return f"{mimetypes.guess_type(key)[0] or 'application/octet-stream'}; charset=utf-8"
