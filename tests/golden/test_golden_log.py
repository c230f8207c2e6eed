"""The bytes of a small log, as they were when its format was published: what is sealed stays checkable for ever."""

import base64
import hashlib
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from evidence.log import Bundle, Draft, package_draft, record_draft, run_draft
from tests.unit.paper_log import MemoryShelf, assert_whole, log, public

GOLDEN = Path(__file__).parent / "log" / "muster-v1.json"
BEGAN = datetime(2026, 11, 26, 2, 0, 0, 250_000, UTC)


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def draft(number: int) -> Draft:
    """A run, a record and a package in turn."""
    name = f"restore-shop-{number:04d}"
    bundle = Bundle(f"restore-shop/{name}.tar.gz", digest(f"{name}.tar.gz"), 1000 + number)
    if number % 3 == 1:
        return record_draft(
            envelope=digest(name), key=f"records/{digest(name)}.dsse.json", predicate_type="urn:muster:probe:v1"
        )
    if number % 3 == 2:
        return package_draft(bundle=bundle, envelope=digest(name), name=name, receipt=digest(f"{name} receipt"))
    return run_draft(
        bundle=bundle,
        envelope=digest(name),
        outcome="passed",
        plan="restore-shop",
        receipt=digest(f"{name} receipt"),
        run=name,
        scheduled_at=BEGAN.replace(microsecond=0) if number else None,
        slot=digest(f"{name} slot") if number else None,
    )


def made_today() -> dict[str, bytes]:
    """The log of 260 entries in batches of 1, 2, 250 and 7."""
    shelf, number = MemoryShelf(), 0
    for hour, size in enumerate((1, 2, 250, 7)):
        now = BEGAN + timedelta(hours=hour, microseconds=-250_000 * (hour % 2))
        log(shelf, now=lambda now=now: now).append([draft(at) for at in range(number, number + size)])
        number += size
    return shelf.content


def test_a_log_is_the_same_to_the_byte() -> None:
    content = made_today()
    assert_whole(content)
    digests = {key: hashlib.sha256(value).hexdigest() for key, value in sorted(content.items())}
    assert digests == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_a_head_verifies_with_public_tools_alone(tmp_path: Path) -> None:
    """No code of ours: the text above the blank line, the signature behind four bytes of key id, and openssl."""
    head = made_today()[f"log/heads/{260:020d}"]
    text, _, signature = head.rpartition(b"\n\n")
    (tmp_path / "text").write_bytes(text + b"\n")
    (tmp_path / "signature").write_bytes(base64.b64decode(signature.split()[-1])[4:])
    (tmp_path / "key.pub").write_bytes(public().pem)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", "-inkey", "key.pub"]
    command += ["-in", "text", "-sigfile", "signature"]
    assert subprocess.run(command, cwd=tmp_path, timeout=30, capture_output=True, check=False).returncode == 0
    (tmp_path / "text").write_bytes(text.replace(b"260", b"261") + b"\n")
    assert subprocess.run(command, cwd=tmp_path, timeout=30, capture_output=True, check=False).returncode != 0
