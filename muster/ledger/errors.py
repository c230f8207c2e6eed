"""What can go wrong with the ledger itself, told with the next move."""

from muster.errors import MusterError, Refusal


class LedgerError(MusterError):
    """The ledger could not do as asked: locked, full, gone. What was being written may not be there."""


class SlotTaken(Refusal):
    """The due time already has its run, named `holder`. Nothing was written.

    The trap: who tries again after an error at the commit may find the slot held by the run of the first try.
    """

    def __init__(self, slot: str, holder: str) -> None:
        super().__init__(
            f"{slot} already has run {holder}",
            "one due time is drilled once; start a run by hand if you want another",
        )
        self.holder = holder


def explain(address: str, cause: BaseException | None) -> LedgerError:
    """The error a person sees when the database behind `address` fails in the middle of work."""
    reason = first_line(cause)
    if is_lock(cause):
        return LedgerError(
            f"the ledger {address} stayed locked by another process: {reason}",
            "find the process that holds it (`fuser` on the file, or `pg_stat_activity`), end it, and try again",
        )
    return LedgerError(
        f"the ledger {address} failed: {reason}",
        "check that the database is up, writable and has space; nothing is lost that was reported as written",
    )


def is_lock(cause: BaseException | None) -> bool:
    """Whether another process's lock outlasted our patience; both drivers say so in words only."""
    return "database is locked" in str(cause) or "lock timeout" in str(cause)


def first_line(cause: BaseException | None) -> str:
    """A driver's message without its statement and position."""
    return (str(cause).strip().splitlines() or ["no reason given"])[0]
