"""Connections that cannot hang: past a deadline their socket is shut down, whatever the server does or does not do.

A server that is stopped takes connections and answers nothing; `statement_timeout` is its own to keep, and does not
fire while a commit waits for a standby. Trap: libpq gives a connection attempt two seconds at least.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import tuple_row


@contextmanager
def connected(dsn: str, seconds: float) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection in autocommit that breaks with `psycopg.OperationalError` once `seconds` are over."""
    patience = max(2, round(seconds))
    with psycopg.connect(dsn, autocommit=True, connect_timeout=patience, row_factory=tuple_row) as connection:
        own = socket.socket(fileno=os.dup(connection.fileno()))
        timer = threading.Timer(seconds, _shut, [own])
        timer.daemon = True
        timer.start()
        try:
            yield connection
        finally:
            timer.cancel()
            own.close()


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is closed already
