"""How a tick is claimed, on either database: one rule, one statement, whoever holds the connection.

Promises: of any number of claims of one tick one is granted; a scheduler whose epoch ended gets no tick beyond its
watermark, however long its claim was on the way; a refused claim is kept; importing this costs no driver, no
SQLAlchemy and no pydantic.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

from muster.ledger.reading import moment_of

Execute = Callable[[str, Mapping[str, Any]], Sequence[Any]]
"""Carries out a statement with named values; gives its rows."""

GRANTED, DUPLICATE, FENCED = "granted", "duplicate", "fenced"


class Claimed(NamedTuple):
    """What became of a claim."""

    granted: bool
    why: str
    """`granted`; `duplicate`: the tick was claimed before; `fenced`: it is not the holder's."""
    at: datetime
    """When, on the ledger's clock."""


class TickClaim(NamedTuple):
    """A claim that was granted."""

    key: str
    schedule: str
    at: datetime
    epoch: int | None
    """Of the holder; `None` for a schedule that nobody owns."""
    holder: str
    claimed_at: datetime
    by: str


class TickRefusal(NamedTuple):
    """A claim that was refused."""

    key: str
    schedule: str
    at: datetime
    epoch: int | None
    """The one that was claimed for, if one was named."""
    holder: str
    why: str
    refused_at: datetime
    by: str


class Tenure(NamedTuple):
    """One epoch of a schedule: which scheduler owns its ticks, and up to which."""

    schedule: str
    epoch: int
    holder: str
    since: datetime
    """When it was raised, on the ledger's clock."""
    until: datetime | None
    """The watermark: the last tick that is its own; `None`: no end is set."""


def tick_key(schedule: str, at: datetime) -> str:
    """What a claim is unique by: SHA-256 of name and moment; the same as `Tick.key`, without pydantic."""
    if at.tzinfo is None:
        raise ValueError("a tick's time needs its offset from UTC")
    return sha256(f"{schedule}\0{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}".encode()).hexdigest()


# The epoch's row is locked until the end of the transaction: raising an epoch waits for claims that are on the way, and
# a claim that comes while one is raised waits, and then reads the watermark. `docs/cutover-guard.md` shows it.
CLAIM = r"""
WITH asked (schedule, at, holder, epoch, "by") AS (
  VALUES (%(schedule)s::text, %(at)s::timestamptz, %(holder)s::text, %(epoch)s::integer, %(by)s::text)
), tick AS (
  SELECT *, encode(sha256(convert_to(schedule, 'UTF8') || '\x00'::bytea || convert_to(
    to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'UTF8')), 'hex') AS key FROM asked
), own AS (
  SELECT o.epoch, o.until FROM owners o JOIN tick USING (schedule, holder)
  WHERE tick.epoch IS NULL OR tick.epoch = o.epoch
  ORDER BY o.epoch DESC LIMIT 1 FOR SHARE OF o
), may AS (
  SELECT tick.*, own.epoch AS owned, coalesce(own.until IS NULL OR at <= own.until, false) AND own.epoch IS NOT NULL
    OR NOT EXISTS (SELECT FROM owners o WHERE o.schedule = tick.schedule) AS yes
  FROM tick LEFT JOIN own ON true
), granted AS (
  INSERT INTO ticks (key, schedule, at, epoch, holder, claimed_at, "by")
  SELECT key, schedule, at, owned, holder, clock_timestamp(), "by" FROM may WHERE yes
  ON CONFLICT (key) DO NOTHING RETURNING claimed_at
), refused AS (
  INSERT INTO refused_ticks (key, schedule, at, epoch, holder, why, refused_at, "by")
  SELECT key, schedule, at, epoch, holder, CASE WHEN yes THEN 'duplicate' ELSE 'fenced' END, clock_timestamp(), "by"
  FROM may WHERE NOT EXISTS (SELECT FROM granted) RETURNING why, refused_at
)
SELECT 'granted' AS why, claimed_at AS at FROM granted UNION ALL SELECT why, refused_at FROM refused
"""

_OWN = """
SELECT epoch, until IS NULL OR until >= :at FROM owners
WHERE schedule = :schedule AND holder = :holder AND (:epoch IS NULL OR epoch = :epoch) ORDER BY epoch DESC LIMIT 1
"""
_OWNED = "SELECT EXISTS (SELECT 1 FROM owners WHERE schedule = :schedule)"
_GRANT = """
INSERT INTO ticks (key, schedule, at, epoch, holder, claimed_at, "by")
VALUES (:key, :schedule, :at, :owned, :holder, :now, :by) ON CONFLICT (key) DO NOTHING RETURNING key
"""
_REFUSE = """
INSERT INTO refused_ticks (key, schedule, at, epoch, holder, why, refused_at, "by")
VALUES (:key, :schedule, :at, :epoch, :holder, :why, :now, :by)
"""


def claim_on_postgres(execute: Execute, values: Mapping[str, Any]) -> Claimed:
    """Claim by one statement. `values`: schedule, at (aware), holder, epoch or `None`, by."""
    ((why, at),) = execute(CLAIM, values)
    return Claimed(why == GRANTED, why, moment_of(at))


def claim_on_sqlite(execute: Execute, values: Mapping[str, Any]) -> Claimed:
    """Claim within a transaction that began IMMEDIATE: the only writer of its moment."""
    now = datetime.now(UTC)
    key = tick_key(values["schedule"], values["at"])
    asked = {**values, "key": key, "at": text_of(values["at"]), "now": text_of(now)}
    own = next(iter(execute(_OWN, asked)), None)
    owned, may = own or (None, not execute(_OWNED, asked)[0][0])
    if may and execute(_GRANT, asked | {"owned": owned}):
        return Claimed(True, GRANTED, now)
    why = DUPLICATE if may else FENCED
    execute(_REFUSE, asked | {"why": why})
    return Claimed(False, why, now)


def text_of(moment: datetime) -> str:
    """A moment as SQLite keeps it: UTC at a fixed width, so that text sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


_OWN_CLAIM = 'SELECT claimed_at FROM ticks WHERE key = :key AND "by" = :by'
_FORGET = 'DELETE FROM refused_ticks WHERE key = :key AND "by" = :by'


def own_claim(execute: Execute, values: Mapping[str, Any], is_postgres: bool) -> datetime | None:
    """When the claim with these very words was granted; `None` when it was not."""
    return next((moment_of(at) for (at,) in execute(*_own(_OWN_CLAIM, values, is_postgres))), None)


def forget_refusal(execute: Execute, values: Mapping[str, Any], is_postgres: bool) -> None:
    """A claim that was granted and then met itself is no doubled tick: let its refusal go."""
    execute(*_own(_FORGET, values, is_postgres))


def _own(statement: str, values: Mapping[str, Any], is_postgres: bool) -> tuple[str, Mapping[str, Any]]:
    if is_postgres:
        statement = statement.replace(":key", "%(key)s").replace(":by", "%(by)s")
    return statement, {"key": tick_key(values["schedule"], values["at"]), "by": values["by"]}
