"""Removes a run's folder from a file system that only Spark reaches: `python -m tasks.spark.clearing FOLDER`.

A Spark of one thread on this machine, with the settings and the environment that the drivers had, so that it finds what
they wrote wherever that is. FOLDER holds what it is told, as for a driver.
"""

import sys
from pathlib import Path

from tasks.spark.driver import session_of
from tasks.spark.files import delete
from tasks.spark.post import CONFIG, Config, hear


def main(folder: Path) -> int:
    """Make sure that `data` of the configuration is gone."""
    config = hear(folder, CONFIG, Config)
    if config is None:
        raise FileNotFoundError(folder / CONFIG)
    spark = session_of(config)
    try:
        delete(spark, config.data)
    finally:
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
