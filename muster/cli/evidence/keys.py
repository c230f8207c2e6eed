"""`muster evidence key`, `keys`, `rotate`, `admit` and `revoke`: who seals, and who sealed until when.

Promise: a rotation that is killed anywhere is finished by asking for it again; the first key stays the pinned one.
"""

from pathlib import Path

from evidence import durable
from evidence.keyring import EVERY_ROLE, Action, Keyring, Role
from evidence.keys import PublicKey, ensure_key_pair, load_public, load_signer, public_key_of
from evidence.log.heads import raw_public
from evidence.notary import Notary
from evidence.outbox import Outbox
from evidence.verify import ED25519_NOTE
from evidence.witness.lines import VerifierKey
from muster.cli.evidence.reading import open_vault
from muster.clock import SystemClock
from muster.errors import UsageError
from muster.notary.desk import Desk
from muster.quantity import count_of
from muster.report.wording import moment
from muster.settings import Settings
from muster.verdict import ExitCode


def show_key(settings: Settings, *, only_path: bool) -> int:
    """Print the public key to pin: its path, and its id and PEM unless only the path is asked for."""
    ensure_key_pair(settings.key_file)
    print(settings.pinned_key_file)
    if only_path:
        return ExitCode.PASS
    key = load_public(settings.pinned_key_file)
    print(f"key id {key.key_id}")
    print(key.pem.decode(), end="")
    return ExitCode.PASS


def show_log_keys(settings: Settings) -> int:
    """Print the verifier key (C2SP signed-note) of every key that signs or signed the log."""
    vault = open_vault(settings)
    for one in vault.keyring.statements:
        if one.action is Action.ADMIT and Role.LOG in one.roles:
            print(VerifierKey(vault.origin, ED25519_NOTE, raw_public(one.key)))
    return ExitCode.PASS


def list_keys(settings: Settings) -> int:
    """Print the keyring in the store: who may do what, from which entry of the log on."""
    for one in open_vault(settings).keyring.statements:
        roles = ", ".join(sorted(one.roles))
        what = f"may {roles}" if one.action is Action.ADMIT else f"is {one.action.value}d"
        print(f"{one.key.key_id[:16]} {what} from entry {one.from_index} on, said {moment(one.at)}")
    return ExitCode.PASS


def rotate(settings: Settings, reason: str) -> int:
    """Let a new key seal, and the present one no more. Bundles that it sealed verify for ever."""
    if not _unfinished(settings):
        _begin(settings, reason)
    notary = _notary(settings)
    for key in _unfinished(settings, notary):
        notary.end(Action.RETIRE, key, reason)
    present = load_public(settings.public_key_file)
    print(f"Key {present.key_id[:16]} seals from entry {notary.log.view().size} on. The pinned key stays as it is:")
    print(settings.pinned_key_file)
    return ExitCode.PASS


def _begin(settings: Settings, reason: str) -> None:
    """Admit the new key, put the old one away, and the new one in its place."""
    if waiting := Outbox(settings.outbox).waiting():
        told = count_of(len(waiting), "bundle waits", "bundles wait")
        raise UsageError(
            f"{told} that the present key sealed, and would count no more",
            "`muster undo run` sends and enters them; then rotate",
        )
    current, fresh = settings.key_file, settings.key_file.with_name("next.pem")
    old, new = ensure_key_pair(current), ensure_key_pair(fresh)
    first = current.with_name("pinned.pub")
    if not first.exists():
        durable.write(first, old.pem)
    notary = _notary(settings)
    if new not in _admitted(notary.keyring):
        notary.admit(load_signer(fresh), EVERY_ROLE, reason)
    kept = current.with_name("retired") / f"{old.key_id[:16]}.pem"
    durable.make_folders(kept.parent, mode=0o700)
    durable.write(kept, current.read_bytes(), mode=0o600)
    fresh.replace(current)
    fresh.with_suffix(".pub").unlink(missing_ok=True)
    ensure_key_pair(current)


def _unfinished(settings: Settings, notary: Notary | None = None) -> list[PublicKey]:
    """Keys that were put away and may still seal: a rotation that was killed before its end."""
    away = [load_signer(path) for path in sorted(settings.key_file.with_name("retired").glob("*.pem"))]
    if not away:
        return []
    keyring = (notary or _notary(settings)).keyring
    ended = {one.key.key_id for one in keyring.statements if one.action is not Action.ADMIT}
    return [key for key in map(public_key_of, away) if key.key_id not in ended and key in _admitted(keyring)]


def admit(settings: Settings, public: Path, reason: str) -> int:
    """Let a runner hand in what it sealed with its own key."""
    key = load_public(public)
    _notary(settings).admit_runner(key, reason)
    print(f"What key {key.key_id[:16]} seals is entered from now on.")
    return ExitCode.PASS


def revoke(settings: Settings, key_id: str, reason: str, from_index: int | None) -> int:
    """What a key sealed counts no more, from the next entry on or from an earlier one."""
    notary = _notary(settings)
    found = [one for one in _admitted(notary.keyring) if one.key_id.startswith(key_id)]
    if len(found) != 1 or len(key_id) < 8:
        raise UsageError(f"{key_id!r} is not the beginning of one key's id", "`muster evidence keys` lists them")
    notary.end(Action.REVOKE, found[0], reason, from_index)
    since = notary.log.view().size if from_index is None else from_index
    print(f"Key {found[0].key_id[:16]} is revoked: what it sealed from entry {since} on counts no more.")
    if found[0] == load_public(settings.pinned_key_file):
        durable.write(settings.key_file.with_name("pinned.pub"), ensure_key_pair(settings.key_file).pem)
        print(f"It was the pinned key. Let everybody who verifies pin this one instead: {settings.pinned_key_file}")
    return ExitCode.PASS


def _notary(settings: Settings) -> Notary:
    from flows.registry import store_of

    return Desk(settings, SystemClock()).notary(store_of(settings))


def _admitted(keyring: Keyring) -> list[PublicKey]:
    return [one.key for one in keyring.statements if one.action is Action.ADMIT]
