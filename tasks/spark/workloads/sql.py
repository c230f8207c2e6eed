"""Workload `sql`: ask a small shop's tables some questions of the kind that TPC-H asks, and write the answers.

Joins, an `exists`, an anti-join, a scalar subquery, a window, a top ten: what analysts write. All sums are of whole
numbers and decimals, all rankings are decided to the last row, so that the same data has one answer. It is known by the
first undisturbed lap. Source: TPC Benchmark H, whose tables these resemble; neither its data nor its queries are used.
"""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from muster.spark.observations import Inspection
from tasks.spark.conf import SHUFFLED_JOINS, settings, tasks_of_a_stage
from tasks.spark.draw import long
from tasks.spark.files import delete
from tasks.spark.result import answer_of, every_column, output_of, whatever_is_at
from tasks.spark.workloads.workload import Basis, Generated, Place

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

QUERIES = {
    "prices": """
        select returned, year(shipped) as shipped_in, count(*) as items, sum(quantity) as quantity, sum(price) as gross,
               sum(price * (1 - discount)) as net, avg(discount) as discount
        from {items} group by returned, shipped_in""",
    "open-orders": """
        select o.id, o.placed, sum(i.price * (1 - i.discount)) as outstanding
        from {customers} c join {orders} o on o.customer = c.id join {items} i on i.order_id = o.id
        where c.trade = 2 and o.placed < date'2021-06-01' and i.shipped > date'2021-06-01'
        group by o.id, o.placed order by outstanding desc, o.id limit 10""",
    "late": """
        select o.priority, count(*) as orders from {orders} o
        where exists (select 1 from {items} i where i.order_id = o.id and i.shipped > o.promised)
        group by o.priority""",
    "brands": """
        select p.brand, round(100 * sum(case when p.kind = 1 then i.price else 0 end) / sum(i.price), 4) as share,
               count(distinct i.order_id) as orders
        from {items} i join {parts} p on p.id = i.part group by p.brand""",
    "idle": """
        select c.country, count(*) as customers, sum(c.balance) as balance from {customers} c
        where c.balance > (select avg(balance) from {customers} where balance > 0)
          and not exists (select 1 from {orders} o where o.customer = c.id)
        group by c.country""",
    "favourites": """
        select country, part, quantity, place from (
          select country, part, quantity,
                 row_number() over (partition by country order by quantity desc, part) as place
          from (select c.country, i.part, sum(i.quantity) as quantity
                from {items} i join {orders} o on o.id = i.order_id join {customers} c on c.id = o.customer
                group by c.country, i.part))
        where place <= 3""",
}
"""Name to question. The names in braces are tables."""
_ITEMS_OF_AN_ORDER, _ORDERS_OF_A_CUSTOMER, _ITEMS_OF_A_PART = 4, 10, 50
_SELDOM = 3
"""Only one of so many customers ever orders."""


class Sql(Generated):
    """Ask."""

    type: Literal["sql"]
    rows: int = Field(default=400_000, ge=1_000)
    """Items; the other tables follow from it."""
    compared = "every row and column of each question's answer"

    @property
    def basis(self) -> Basis:
        """The first undisturbed lap."""
        return "baseline"

    def run(self, spark: "SparkSession", place: Place) -> None:
        """Generate the tables; ask each question, write each answer."""
        delete(spark, place.lap)
        with settings(spark, {**SHUFFLED_JOINS, **tasks_of_a_stage(self.partitions)}):
            tables = self._tables(spark)
            for name, query in QUERIES.items():
                spark.sql(query, **tables).write.mode("overwrite").parquet(f"{place.output}/{name}")

    def inspect(self, spark: "SparkSession", place: Place) -> Inspection:
        """Read the answers back. One that is not there has no rows, which the digest tells."""
        from pyspark.sql import functions as f

        told = spark.createDataFrame([], "hash bigint, query string")
        for name in QUERIES:
            rows = whatever_is_at(spark, f"{place.output}/{name}")
            if rows is not None:
                told = told.union(rows.select(f.xxhash64(*every_column(rows)), f.lit(name)))
        answer = answer_of(told, ["hash"], f.col("query"))
        return Inspection(answer=answer, output=output_of(spark, place.output, expected=[*QUERIES], marked=[*QUERIES]))

    def _tables(self, spark: "SparkSession") -> "dict[str, Any]":
        from pyspark.sql import functions as f

        orders = self.rows // _ITEMS_OF_AN_ORDER
        customers, parts = orders // _ORDERS_OF_A_CUSTOMER, self.rows // _ITEMS_OF_A_PART
        spread = self._spread
        customer = self.draw(1, customers // _SELDOM).column() * _SELDOM

        def ids(rows: int) -> "DataFrame":
            return spark.range(0, rows, 1, self.partitions)

        return {
            "items": ids(self.rows).select(
                f.expr(f"id div {_ITEMS_OF_AN_ORDER}").alias("order_id"),
                spread(2, parts).alias("part"),
                (spread(3, 50) + 1).alias("quantity"),
                _hundredths(spread(4, 1_000_000)).alias("price"),
                _hundredths(spread(5, 11)).alias("discount"),
                _day(spread(6, 700)).alias("shipped"),
                (spread(7, 4) == 0).alias("returned"),
            ),
            "orders": ids(orders).select(
                "id",
                customer.alias("customer"),
                _day(spread(8, 600)).alias("placed"),
                _day(spread(9, 120) + 500).alias("promised"),
                spread(10, 5).alias("priority"),
            ),
            "customers": ids(customers).select(
                "id",
                spread(11, 25).alias("country"),
                spread(12, 5).alias("trade"),
                _hundredths(spread(13, 1_000_000) - long(100_000)).alias("balance"),
            ),
            "parts": ids(parts).select("id", spread(14, 25).alias("brand"), spread(15, 5).alias("kind")),
        }

    def _spread(self, salt: int, below: int) -> "Column":
        return self.draw(salt, below).column()


def _hundredths(number: "Column") -> "Column":
    """An amount of money, or a share: exact."""
    from pyspark.sql import functions as f

    return number.cast("decimal(12,0)") * f.lit(Decimal("0.01"))


def _day(number: "Column") -> "Column":
    from pyspark.sql import functions as f

    return f.date_add(f.lit("2020-01-01").cast("date"), number.cast("int"))


WORKLOAD = Sql
