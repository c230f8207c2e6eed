"""Positions in PostgreSQL's log: `X/Y` in hexadecimal, and the segment files that hold them."""

SEGMENT_BYTES = 16 * 2**20


def lsn_value(lsn: str) -> int:
    """A position as a number of bytes since the log began."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def segment_number(lsn: str, segment_bytes: int = SEGMENT_BYTES) -> int:
    """Which segment of the log holds this position."""
    return lsn_value(lsn) // segment_bytes


def segment_of_name(name: str, segment_bytes: int = SEGMENT_BYTES) -> int:
    """The segment number in a segment's 24-digit file name (timeline, log, segment)."""
    per_log = 2**32 // segment_bytes
    return int(name[8:16], 16) * per_log + int(name[16:24], 16)


def segment_name(timeline: int, number: int, segment_bytes: int = SEGMENT_BYTES) -> str:
    """The 24-digit file name of a segment."""
    per_log = 2**32 // segment_bytes
    return f"{timeline:08X}{number // per_log:08X}{number % per_log:08X}"
