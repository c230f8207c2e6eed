"""A release package from start to end: gathered, then sealed.

Promise: what is brought for it lies in a work folder beside it, which is gone when this returns, however it ends.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from evidence import durable
from evidence.bundle import Sealed
from muster.package.gather import Sources, gather
from muster.package.making import make_package
from muster.package.period import Period

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so


def package_release(
    sources: Sources, release: str, period: Period | None, signer: "Signer", destination: Path
) -> Sealed:
    """Seal the package into the folder `destination`. Raises as `gather` and `make_package`."""
    durable.make_folders(destination)
    with tempfile.TemporaryDirectory(prefix=".gathered-", dir=destination) as work:
        return make_package(gather(sources, release, period, Path(work)), signer, destination)
