"""Numbers drawn by hashing ids: the same ones as a column in Spark, and as an array without it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column

    from muster.spark.answers import Longs


@dataclass(frozen=True)
class Draw:
    """One number of each id, from 0 to just under `below`. Draws of different salts are independent."""

    seed: int
    salt: int
    below: int

    def of(self, ids: "Longs") -> "Longs":
        """Without Spark."""
        import numpy as np

        # Python's modulo, like Spark's `pmod`, has the sign of the divisor.
        return hashed(ids, self.seed, self.salt) % np.int64(self.below)

    def column(self, name: str = "id") -> "Column":
        """In Spark, of a column of whole numbers."""
        from pyspark.sql import functions as f

        return f.pmod(hashed_column(name, self.seed, self.salt), long(self.below))


def hashed(ids: "Longs", *more: int) -> "Longs":
    """The hash of each id and some constants, without Spark."""
    import numpy as np

    from muster.spark.answers import hash_rows

    return hash_rows(ids, *(np.full_like(ids, number) for number in more))


def hashed_column(name: str, *more: int) -> "Column":
    """The same in Spark."""
    from pyspark.sql import functions as f

    return f.xxhash64(name, *(long(number) for number in more))


def long(number: int) -> "Column":
    """A constant of 64 bits: Spark takes a small one for 32 bits, and hashes it otherwise."""
    from pyspark.sql import functions as f

    return f.lit(number).cast("bigint")
