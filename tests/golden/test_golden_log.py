"""The bytes of a small log, as they were when its format was published: what is sealed stays checkable for ever."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from evidence.log import Bundle, Draft, package_draft, record_draft, run_draft
from tests.unit.paper_log import MemoryShelf, assert_whole, log

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
