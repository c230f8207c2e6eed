"""In a PgBouncer configuration nothing changes but the place that the named entries lead to."""

import pytest

from tasks.routes.pgbouncer_ini import Address, addresses, sent_to

WHOLE = """\
;; shop = host=comment port=1
[databases]
# shop = host=comment port=1
shop = host=10.0.0.1 port=5433 dbname=shop pool_size=5 connect_query='select ''host=x port=1'''
  "stock"=port=5432 host='/var/run/my postgres' user=stock
shopping = host=10.0.0.1
local = dbname=local
* = host=fallback

[pgbouncer]
shop = host=10.0.0.1
listen_port = 6432
"""
NEW = Address("10.0.0.2", 5434)


def test_it_knows_where_each_entry_leads() -> None:
    assert addresses(WHOLE) == {
        "shop": Address("10.0.0.1", 5433),
        "stock": Address("/var/run/my postgres", 5432),
        "shopping": Address("10.0.0.1", 5432),
        "*": Address("fallback", 5432),
    }


def test_only_the_named_entry_changes_and_in_nothing_but_its_place() -> None:
    changed = sent_to(WHOLE, ("shop",), NEW)
    assert addresses(changed) == addresses(WHOLE) | {"shop": NEW}
    lines = zip(WHOLE.splitlines(), changed.splitlines(), strict=True)
    assert [new for old, new in lines if old != new] == [
        "shop = host='10.0.0.2' port=5434 dbname=shop pool_size=5 connect_query='select ''host=x port=1'''"
    ]


def test_several_entries_change_together_quoted_ones_too() -> None:
    changed = addresses(sent_to(WHOLE, ("shop", "stock"), NEW))
    assert (changed["shop"], changed["stock"]) == (NEW, NEW)
    assert changed["shopping"] == Address("10.0.0.1", 5432)


def test_an_entry_without_a_host_gets_one() -> None:
    assert addresses(sent_to("local = dbname=local\n", ("local",), NEW)) == {"local": NEW}


@pytest.mark.parametrize("host", ["/run/it's here", "10.0.0.2", "/var/run/a b"])
def test_a_place_is_read_back_as_it_was_written(host: str) -> None:
    address = Address(host, 1)
    assert addresses(sent_to("shop = host=x", ("shop",), address)) == {"shop": address}


def test_twice_is_once() -> None:
    once = sent_to(WHOLE, ("shop", "stock"), NEW)
    assert sent_to(once, ("shop", "stock"), NEW) == once
