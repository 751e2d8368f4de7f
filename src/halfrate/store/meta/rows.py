"""Queries run, and their rows by the names of the columns."""

from __future__ import annotations

from typing import Any, cast

import apsw

from halfrate.store.meta.api import Place
from halfrate.store.meta.queries import query

Row = dict[str, Any]


def execute(connection: apsw.Connection, name: str, values: Row) -> int:
    """Run a change and return how many rows it touched."""
    connection.execute(query(name), values)
    return connection.changes()


def rows(connection: apsw.Connection, name: str, values: Row) -> list[Row]:
    """Return what a query finds, or what a change returns."""
    return rows_of(connection, query(name), values)


def rows_of(connection: apsw.Connection, text: str, values: Row) -> list[Row]:
    """Return what a statement finds that is in no file of its own."""
    cursor = connection.cursor()
    cursor.row_trace = _by_column
    return cast("list[Row]", cursor.execute(text, values).fetchall())


def cursor_of(after: Place | None) -> Row:
    """Return the values that say where in a list, newest first, to go on."""
    if after is None:
        return {"created_at": float("inf"), "id": ""}
    created_at, id = after
    return {"created_at": created_at, "id": id}


def _by_column(cursor: apsw.Cursor, row: tuple[Any, ...]) -> Row:
    return dict(zip((column[0] for column in cursor.get_description()), row, strict=True))
