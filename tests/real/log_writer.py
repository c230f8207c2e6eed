"""A process that writes to a log in a folder: `python -m tests.real.log_writer FOLDER WRITER COUNT`, saying each."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from evidence.log import Log
from evidence.stores import DirectoryStore
from tests.unit.paper_log import NOON, ORIGIN, drafts, signer


def main(folder: str, writer: str, count: int) -> None:
    """Append COUNT entries one by one, from the first on: what is there already is not appended again."""
    log = Log(DirectoryStore(Path(folder)), ORIGIN, signer(), now=lambda: datetime.now(UTC))
    for number in range(count):
        [entry] = log.append_once(drafts(f"{writer} {number}"), NOON.replace(year=2000)).entries
        print(number, entry.index, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
