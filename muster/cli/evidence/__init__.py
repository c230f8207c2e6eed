"""`muster evidence`: the commands around sealed evidence, and where each is carried out."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from muster.cli.options import AsJson, settings

app = typer.Typer(help="Sealed evidence: look at it, bring it, prove it, and the keys behind it.", no_args_is_help=True)

Plan = Annotated[str, typer.Option("--plan", help="Only of this plan.")]
Outcome = Annotated[str, typer.Option("--outcome", help="Only with this outcome, such as failed.")]
Since = Annotated[str, typer.Option("--since", metavar="DAY", help="Only what was entered since.")]
Pinned = Annotated[Path | None, typer.Option("--key", help="The pinned public key; default: this installation's.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; goes into the keyring.")]


@app.command("ls")
def ls(
    plan: Plan = "",
    outcome: Outcome = "",
    since: Since = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 40,
    as_json: AsJson = False,
) -> int:
    """List what was sealed and entered in the log."""
    from muster.cli.evidence.reading import Wanted, ls, parse_since

    return ls(settings(), Wanted(plan, outcome, since=parse_since(since)), limit, as_json=as_json)


@app.command("timeline")
def timeline(plan: Plan = "", since: Since = "") -> int:
    """Show month by month how the runs of each plan ended."""
    from muster.cli.evidence.reading import Wanted, parse_since, timeline

    return timeline(settings(), Wanted(plan, since=parse_since(since)))


@app.command("pull")
def pull(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="One run; default: all that fit.")] = "",
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Where to.")] = Path("evidence-pulled"),
    plan: Plan = "",
    outcome: Outcome = "",
    since: Since = "",
    key: Pinned = None,
    as_json: AsJson = False,
) -> int:
    """Bring bundles with receipts, proofs, keyring and verifier; what is there already is not brought again."""
    from muster.cli.evidence.reading import Wanted, parse_since, pull

    wanted = Wanted(plan, outcome, run, parse_since(since))
    return pull(settings(), wanted, output, key=key, as_json=as_json)


@app.command("key")
def key(
    path: Annotated[bool, typer.Option("--path", help="Print only the public key's path.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Print the log's key, as a witness takes it.")] = False,
) -> int:
    """Show the public key that verifiers pin; it is made when there is none."""
    from muster.cli.evidence.keys import show_key, show_log_keys

    return show_log_keys(settings()) if log else show_key(settings(), only_path=path)


@app.command("keys")
def keys() -> int:
    """Show the keyring: who may seal, from which entry of the log on, until which."""
    from muster.cli.evidence.keys import list_keys

    return list_keys(settings())


@app.command("rotate")
def rotate(reason: Reason = "as planned") -> int:
    """Let a new key seal from now on. What the old one sealed verifies for ever, with the same pinned key."""
    from muster.cli.evidence.keys import rotate

    return rotate(settings(), reason)


@app.command("admit")
def admit(
    public: Annotated[Path, typer.Argument(metavar="PUBLIC_KEY", help="The runner's public key, PEM.")],
    reason: Reason = "a runner of its own",
) -> int:
    """Let a runner with a key of its own hand in what it sealed; the notary enters it."""
    from muster.cli.evidence.keys import admit

    return admit(settings(), public, reason)


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="Its first digits, at least 8.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; goes into the keyring.")],
    from_index: Annotated[
        int | None, typer.Option("--from-entry", min=0, help="Since this entry; default: from now on.")
    ] = None,
) -> int:
    """Take a key's word back: what it sealed since counts no more."""
    from muster.cli.evidence.keys import revoke

    return revoke(settings(), key_id, reason, from_index)


@app.command("probe")
def probe(as_json: AsJson = False) -> int:
    """Find out whether the store is WORM, by trying to destroy a locked canary; the result is sealed."""
    from muster.cli.evidence.keeping import probe

    return probe(settings(), as_json=as_json)


@app.command("audit")
def audit(
    deep: Annotated[bool, typer.Option("--deep", help="Bring every bundle and compute its digest.")] = False,
    seal: Annotated[
        bool, typer.Option("--seal", help="Seal what the store answers, as receipts that packages hold.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Hold what the store has against its receipts: markers, second versions, shortened locks, changed bytes."""
    from muster.cli.evidence.keeping import audit

    return audit(settings(), deep=deep, seal=seal, as_json=as_json)


@app.command("link")
def link(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or a package.")],
    to: Annotated[str, typer.Option("--to", metavar="WHOM", help="For whom; goes into the log.")],
    days: Annotated[float, typer.Option("--days", min=0.01, max=7, help="How long it holds.")] = 1,
    as_json: AsJson = False,
) -> int:
    """Hand out an address for somebody without an account; that it was handed out is logged."""
    from muster.cli.evidence.keeping import link

    return link(settings(), run, days, to=to, as_json=as_json)


@app.command("disclose")
def disclose(
    run: Annotated[str, typer.Argument(metavar="RUN")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="What was withheld, exactly.")],
) -> int:
    """Print what proves that this value, and no other, was withheld in a run's evidence."""
    from muster.cli.evidence.disclosing import disclose

    return disclose(settings(), run, value)


@app.command("package")
def package(
    release: Annotated[str, typer.Option("--release", metavar="NAME", help="Such as v1.4.0.")],
    period: Annotated[
        str, typer.Option("--period", help="2026, 2026-Q3, 2026-09 or FROM..UNTIL; default: since the last package.")
    ] = "",
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the file goes.")] = Path(),
    as_json: AsJson = False,
) -> int:
    """Make one sealed package of everything a period shows: runs, population, controls, reports, verifier."""
    from muster.cli.evidence.packaging import package

    return package(settings(), release, period, output, as_json=as_json)


@app.command("diff")
def diff(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="A package or a bundle.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Another of the same kind.")],
    as_json: AsJson = False,
) -> int:
    """Say what two packages, or two bundles, say otherwise."""
    from muster.cli.evidence.diffing import diff

    return diff(before, after, as_json=as_json)


@app.command("portal")
def portal(
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Below this folder; default: into the store.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Draw the auditors' portal: every run, gap and proof on static pages beside the evidence."""
    from muster.cli.evidence.portal import portal

    return portal(settings(), output, as_json=as_json)


class IntakeName(StrEnum):
    """The values of `muster.package.intake.Intake`, which costs more to import."""

    VANTA = "vanta"
    DRATA = "drata"
    CISO_ASSISTANT = "ciso-assistant"


@app.command("export")
def export(
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="A package; verify it first.")],
    intake: Annotated[IntakeName, typer.Option("--for", help="The tool that takes it in.")],
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="A new folder.")],
) -> int:
    """Write a folder for each control, as tools of compliance teams take them in."""
    from muster.cli.evidence.exporting import export

    return export(package, intake.value, output)
