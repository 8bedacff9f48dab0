"""Rows as a pyarrow.Table, whose columns have one type each.

A column whose values have no type in common, as contents of a turn that are a text in one row and a list in
another, holds texts: what is no text is written as JSON. Rows with turns are read from that as from lists.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

# pyarrow takes a tenth of a second to import, and most commands do without.


def table_of(rows: Sequence[Mapping[str, Any]]) -> Any:
    """The columns that at least one of the rows has. A missing value is null."""
    import pyarrow

    names = dict.fromkeys(name for row in rows for name in row)
    return pyarrow.table({name: _column([row.get(name) for row in rows]) for name in names})


def joined_tables(tables: Sequence[Any]) -> Any:
    """One pyarrow.Table below the other, with the columns that at least one of them has."""
    import pyarrow

    names = dict.fromkeys(name for table in tables for name in table.column_names)
    for name in names:
        types = [table.schema.field(name).type for table in tables if name in table.column_names]
        if not _have_a_type_in_common(types):
            tables = [_with_texts(table, name) for table in tables]
    return pyarrow.concat_tables(tables, promote_options="permissive")


def _column(values: list[Any]) -> Any:
    import pyarrow

    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowException, OverflowError):  # a mixture, or a number beyond 64 bits
        return _texts(values)


def _have_a_type_in_common(types: Sequence[Any]) -> bool:
    import pyarrow

    try:
        schemas = [pyarrow.schema([("", kind)]) for kind in types]
        pyarrow.unify_schemas(schemas, promote_options="permissive")
    except pyarrow.ArrowException:
        return False
    return True


def _with_texts(table: Any, name: str) -> Any:
    if name not in table.column_names:
        return table
    return table.set_column(table.column_names.index(name), name, _texts(table.column(name).to_pylist()))


def _texts(values: Sequence[Any]) -> Any:
    import pyarrow

    texts = [
        value
        if value is None or isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, default=str)
        for value in values
    ]
    return pyarrow.array(texts, pyarrow.string())
