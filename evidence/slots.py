"""Slots: one due time of a plan, named the same by the ledger, the log and whoever verifies."""

import hashlib
from datetime import UTC, datetime


def slot_key(plan: str, scheduled_at: datetime) -> str:
    """SHA-256 (hex) of a plan's name and its due time, never a scheduler's own id."""
    if scheduled_at.tzinfo is None:
        raise ValueError("a slot's time needs its offset from UTC")
    return hashlib.sha256(f"{plan}\n{stamp(scheduled_at)}".encode()).hexdigest()


def stamp(moment: datetime) -> str:
    """UTC with microseconds at a fixed width, so that text sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
