"""Workload `indeterminate`: what has more than one right answer, because it depends on the order of rows or on chance.

Chance with and without a seed, ids by position, a round-robin repartition behind them, a limit without order, a sum of
floats: work that is done again after a loss may come out otherwise, and none of it may lose or double a row. Rows are
dealt round-robin by what chance gave them, so that a task done again deals them otherwise: Spark has to notice that,
and to do every task behind it again, or to fail: once a part of the output is committed it fails, and the plan for that
says `expect: failure`. What is certain is known by mathematics: every id once, and the bounds of the rest. Source:
Spark's issues SPARK-23207, SPARK-38388.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from muster.spark.digest import Answer
from muster.spark.observations import Inspection
from tasks.spark.conf import settings, tasks_of_a_stage
from tasks.spark.files import delete
from tasks.spark.result import answer_of, each_once, output_of, rows_at
from tasks.spark.workloads.workload import Generated, Place

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from muster.spark.answers import Longs

_ROWS, _SOME, _SUM = "rows", "some", "sum"
_CHANCED = "id bigint, chance double, seeded double, place bigint"
_DIVISOR = 7
"""A row's weight is a seventh of its place from 1 on: few floats are, and all of them together are known."""


class Indeterminate(Generated):
    """Depend on chance."""

    type: Literal["indeterminate"]
    limit: int = Field(default=100, ge=1)
    """Rows that are taken without an order."""
    tolerance: float = Field(default=1e-9, gt=0, lt=1)
    """How far the sum of floats may be from the exact one, as a share of it."""
    compared = "every id, each once, behind a round-robin repartition"
    not_compared = (
        "what rand() and monotonically_increasing_id() give to which row, which rows a limit takes, the last digits of"
        " a sum of floats: each lap's may differ by right, and is held against its bounds alone"
    )

    def answer(self) -> Answer:
        """Every id once."""
        from muster.spark import answers

        def result(ids: "Longs") -> "tuple[Longs, Longs]":
            return answers.hash_rows(ids), self.span_of(ids)

        return answers.answer_of(self.rows, result)

    def run(self, spark: "SparkSession", place: Place) -> None:
        """Shuffle the ids, so that nothing orders them; then do each of it, and write what came out."""
        from pyspark.sql import functions as f

        delete(spark, place.lap)
        with settings(spark, tasks_of_a_stage(self.partitions)):
            rows = spark.range(0, self.rows, 1, self.partitions).repartition(self.partitions, "id")
            chanced = rows.select(
                "id",
                f.rand().alias("chance"),
                f.rand(self.seed).alias("seeded"),
                f.monotonically_increasing_id().alias("place"),
            )
            weights = rows.select(((f.col("id") + 1) / _DIVISOR).alias("weight"))
            _write(chanced.repartition(self.partitions), place, _ROWS)
            _write(rows.limit(self.limit), place, _SOME)
            _write(weights.agg(f.sum("weight").alias("total")), place, _SUM)

    def inspect(self, spark: "SparkSession", place: Place) -> Inspection:
        """Read it back: every id, and the bounds of the rest."""
        rows = rows_at(spark, f"{place.output}/{_ROWS}", _CHANCED)
        some = rows_at(spark, f"{place.output}/{_SOME}", "id bigint")
        total = rows_at(spark, f"{place.output}/{_SUM}", "total double").first()
        seen = float(total["total"]) if total and total["total"] is not None else None
        return Inspection(
            answer=answer_of(rows, ["id"], self.span_column()),
            output=output_of(spark, place.output, marked=[_ROWS, _SOME, _SUM]),
            problems=(
                *each_once(rows, self.rows, "row", "rows"),
                *self._chance_problems(rows),
                *self._limit_problems(some),
                *self._sum_problems(seen),
            ),
            facts={"sum of floats": repr(seen), "exact sum": repr(self.exact_sum)},
        )

    def _chance_problems(self, rows: "DataFrame") -> list[str]:
        from pyspark.sql import functions as f

        outside = {name: ~f.coalesce(f.col(name).between(0, 1) & (f.col(name) < 1), f.lit(False))
                   for name in ("chance", "seeded")}  # fmt: skip
        found = rows.agg(
            *(f.count_if(is_outside).alias(name) for name, is_outside in outside.items()),
            (f.count("*") - f.count_distinct("place")).alias("place"),
        ).first()
        if found is None:
            raise ValueError("a count without groups has one row")
        words = {
            "chance": "rand() gave {} rows a number outside of [0, 1)",
            "seeded": "rand(seed) gave {} rows a number outside of [0, 1)",
            "place": "monotonically_increasing_id() gave {} rows an id that another row has, or none",
        }
        return [said.format(f"{found[name]:,}") for name, said in words.items() if found[name]]

    def _limit_problems(self, some: "DataFrame") -> list[str]:
        from pyspark.sql import functions as f

        expected = min(self.limit, self.rows)
        found = some.agg(
            f.count("*").alias("rows"),
            f.count_distinct("id").alias("ids"),
            f.count_if(f.col("id").between(0, self.rows - 1)).alias("known"),
        ).first()
        if found is None:
            raise ValueError("a count without groups has one row")
        problems = [f"limit({self.limit}) took {found['rows']:,} rows, not {expected:,}"] * (found["rows"] != expected)
        problems += [f"limit({self.limit}) took a row twice"] * (found["ids"] < found["known"])
        problems += [f"limit({self.limit}) took rows that there are not"] * (found["known"] < found["rows"])
        return problems

    def _sum_problems(self, seen: float | None) -> list[str]:
        exact = self.exact_sum
        if seen is None:
            return ["there is no sum of floats"]
        if abs(seen - exact) <= self.tolerance * exact:
            return []
        return [f"the sum of floats is {seen!r}, the exact one {exact!r}: more apart than {self.tolerance:g} of it"]

    @property
    def exact_sum(self) -> float:
        """The sum of all weights, rounded once."""
        return self.rows * (self.rows + 1) // 2 / _DIVISOR


def _write(rows: "DataFrame", place: Place, name: str) -> None:
    rows.write.mode("overwrite").parquet(f"{place.output}/{name}")


WORKLOAD = Indeterminate
