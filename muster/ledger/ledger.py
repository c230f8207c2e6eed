"""The ledger opened: everything Muster keeps, each part by its own module.

Promise: a method that returned has written durably, in one transaction.
"""

from muster.ledger.control import Control
from muster.ledger.journals import Journals
from muster.ledger.looks import Looks
from muster.ledger.owners import Owners
from muster.ledger.plans import Plans
from muster.ledger.proofs import Proofs
from muster.ledger.runs import Runs
from muster.ledger.ticks import Ticks
from muster.ledger.watching import Watching


class Ledger(Runs, Journals, Plans, Control, Watching, Looks, Ticks, Owners, Proofs):
    """An open ledger, safe to share between threads. Made by `open_ledger`; closed by `close` or `with`."""
