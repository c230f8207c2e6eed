"""Rows by their names, however many names there are.

Promise: ten thousand names are one value of a statement, not ten thousand: both databases bound how many there may be.
"""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Text, any_, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY


def named(connection: Connection, column: Column[Any], names: Collection[str]) -> ColumnElement[bool]:
    """Whether the column is one of the names."""
    if connection.dialect.name == "postgresql":
        return column == any_(literal(list(names), ARRAY(Text)))
    each = func.json_each(json.dumps(list(names))).table_valued("value")
    return column.in_(select(each.c.value))
