"""What a plan may say of its route, and what is made of it before anything is touched."""

from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from muster.errors import UsageError
from muster.failover.observations import Node
from tasks.routes.route import open_route

A = Node(name="a", region="east", dsn="host=/run/a user=app dbname=shop application_name=a connect_timeout=10")
B = Node(name="b", region="west", dsn="host=b.example port=5433 dbname=shop user=app")
HAPROXY = {
    "type": "haproxy",
    "socket": "/run/haproxy/admin.sock",
    "backend": "pg",
    "servers": {"a": "pg-a", "b": "pg-b"},
    "dsn": "host=proxy",
}
PGBOUNCER = {
    "type": "pgbouncer",
    "admin_dsn": "host=/run/pgbouncer dbname=pgbouncer",
    "dsn": "host=/run/pgbouncer dbname=shop",
    "databases": ["shop"],
    "ini": "/etc/pgbouncer/shop.ini",
}
ROUTE53 = {
    "type": "route53",
    "zone": "Z0123456789",
    "record": "db.example.com",
    "targets": {"a": "a.example.com", "b": "b.example.com"},
    "dsn": "host=db.example.com",
}
HOOK = {"type": "hook", "command": ["reroute"], "dsn": "host=proxy"}


def with_dsn(node: Node, dsn: str) -> Node:
    return node.model_copy(update={"dsn": dsn})


def test_libpq_has_every_place_in_one_string() -> None:
    dsn = open_route({"type": "libpq", "connect_timeout": "4s"}, (A, B)).client_dsn()
    assert conninfo_to_dict(dsn) == {
        "host": "/run/a,b.example",
        "port": ",5433",
        "user": "app",
        "dbname": "shop",
        "target_session_attrs": "read-write",
        "connect_timeout": "4",
    }


@pytest.mark.parametrize(
    ("dsn", "differs"),
    [
        ("host=b user=other dbname=shop", "user"),
        ("host=b user=app dbname=stock", "dbname"),
        ("host=b user=app dbname=shop options='-c search_path=x'", "options"),
        ("host=b user=app dbname=shop sslmode=require", "sslmode"),
        ("host=b dbname=stock", "dbname, user"),
        ("host=b,c user=app dbname=shop", "several servers"),
    ],
)
def test_libpq_refuses_what_cannot_be_one_string(dsn: str, differs: str) -> None:
    with pytest.raises(UsageError, match=differs) as refused:
        open_route({"type": "libpq"}, (A, with_dsn(B, dsn)))
    assert "one" in refused.value.advice


@pytest.mark.parametrize("route", [HAPROXY, PGBOUNCER, ROUTE53, HOOK], ids=lambda r: str(r["type"]))
def test_a_route_opens_without_touching_anything_and_says_where_clients_connect(route: dict[str, Any]) -> None:
    assert open_route(route, (A, B)).client_dsn() == route["dsn"]


@pytest.mark.parametrize("route", [{"type": "libpq"}, HAPROXY, PGBOUNCER, ROUTE53, HOOK], ids=lambda r: str(r["type"]))
def test_a_key_that_a_route_does_not_have_is_refused_by_name(route: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"reroute\.sevrers"):
        open_route({**route, "sevrers": {}}, (A, B))


@pytest.mark.parametrize("name", ["nope", "route", "sampling", "clients", "pgbouncer_ini", "a.b", "../libpq", ""])
def test_what_is_no_route_is_no_type(name: str) -> None:
    with pytest.raises(UsageError, match="no route of type"):
        open_route({"type": name}, (A, B))


@pytest.mark.parametrize(
    ("route", "change", "complaint"),
    [
        (HAPROXY, {"socket": "10.0.0.1:9999"}, "127.0.0.1"),
        (HAPROXY, {"socket": "admin.sock"}, "unix socket"),
        (HAPROXY, {"servers": {"a": "pg", "b": "pg"}}, "cannot be one server"),
        (HAPROXY, {"servers": {"a": "pg-a"}}, "servers names a, the target's nodes are a, b"),
        (HAPROXY, {"backend": "pg; shutdown"}, "backend"),
        (HAPROXY, {"dsn": "host=proxy password=hunter22"}, "holds a password"),
        (HAPROXY, {"dsn": "postgresql://app:hunter22@proxy/shop"}, "holds a password"),
        (HOOK, {"dsn": "hunter22"}, "no DSN"),
        (PGBOUNCER, {"admin_dsn": "host=x password=hunter22"}, "holds a password"),
        (PGBOUNCER, {"databases": []}, "databases"),
        (PGBOUNCER, {"servers": {"a": {"host": "x"}, "c": {"host": "y"}}}, "servers names a, c"),
        (ROUTE53, {"targets": {"a": "x.example.com", "b": "X.example.com."}}, "one host name"),
        (ROUTE53, {"ttl": "100ms"}, "ttl"),
    ],
)
def test_a_wrong_value_is_refused_and_no_secret_repeated(
    route: dict[str, Any], change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint) as refused:
        open_route({**route, **change}, (A, B))
    assert "hunter22" not in str(refused.value)


@pytest.mark.parametrize("socket", ["127.0.0.1:9999", "localhost:9999", "[::1]:9999", "/run/haproxy.sock"])
def test_haproxys_socket_is_on_this_machine(socket: str) -> None:
    open_route({**HAPROXY, "socket": socket}, (A, B))


def test_pgbouncer_wants_to_know_where_a_node_is() -> None:
    with pytest.raises(UsageError, match="DSN of b names no single host"):
        open_route(PGBOUNCER, (A, with_dsn(B, "dbname=shop")))
