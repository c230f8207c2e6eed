"""The shop's customers: `python -m tasks.estate.traffic DSN` orders and pays until it is stopped.

Promises: a canary every second; no write is lost by a restart of the server, it goes on when the server is back.
"""

import itertools
import sys
import time

import psycopg

from tasks.estate.shop import CANARY

_RATE = 50  # orders a second
_ORDER = """
with placed as (
  insert into orders (customer_id, placed_at, total)
  select 1 + %(n)s::bigint %% (select max(id) from customers), now(), (%(n)s::bigint %% 10000) / 100.0
  returning id, total
), paid as (
  insert into payments (order_id, amount, paid_at) select id, total, now() from placed returning order_id
)
insert into events (at, order_id, kind) select now(), order_id, 'paid' from paid
"""


def write(connection: psycopg.Connection[tuple[object, ...]], numbers: "itertools.count[int]") -> None:
    """Order at a steady pace, with a canary a second, until the connection breaks."""
    next_canary = next_order = time.monotonic()
    while True:
        now = time.monotonic()
        if now >= next_canary:
            connection.execute(CANARY)
            next_canary = max(next_canary + 1, now)
        connection.execute(_ORDER, {"n": next(numbers)})
        next_order = max(next_order + 1 / _RATE, now)
        time.sleep(max(0.0, next_order - time.monotonic()))


def main(dsn: str) -> None:
    """Write for ever; a broken connection is opened again."""
    numbers = itertools.count()
    while True:
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                write(connection, numbers)
        except psycopg.OperationalError as error:
            print(f"waiting for the server: {error}", flush=True)
            time.sleep(0.2)


if __name__ == "__main__":
    main(sys.argv[1])
