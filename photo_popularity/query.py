"""SQL over the current outputs: every asset is a table under its own name, read in place by DuckDB.

Only reading belongs here. How an answer is written down is `query_formats.py`. No Dagster is imported, so that an
answer comes at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from partitions.files import file_of
from photo_popularity.catalog_tables import CATALOG_TABLES
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.schemas import SCHEMAS
from resources.catalog_records import Output
from resources.environment import Environment
from resources.output_parts import folder_of
from resources.outputs import OutputReader, read_outputs

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TABLES = (*SCHEMAS, *CATALOG_TABLES)


def run_query(environment: Environment, sql: str) -> pa.Table:
    """The answer to one SELECT over the current outputs of an environment, days as DATE and moments in UTC.

    Tables: every asset, `executions` (every execution ever) and `current_outputs` (the file that each partition has
    now). An asset without outputs is an empty table. Raises InputError when the query is no SELECT, or fails.
    """
    # a tenth of a second that other commands need not wait for
    import duckdb

    with duckdb.connect() as connection:
        # what lies in this program's own variables is no table
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET TimeZone = 'UTC'")
        try:
            _open_tables(connection, read_outputs(environment), _tables_named(connection, sql))
            answer = connection.sql(sql).to_arrow_table()
        except duckdb.CatalogException as error:
            raise InputError(
                f"query: {_reason(error)}; the tables are {', '.join(sorted(TABLES))}"
            ) from error
        except (duckdb.IOException, FileNotFoundError) as error:
            raise InputError(f"query: {_reason(error)}; materialize what is missing again") from error
        except duckdb.Error as error:
            raise InputError(f"query: {_reason(error)}; correct the SQL") from error
    return answer.rename_columns(_distinct(answer.column_names))


def _tables_named(connection: DuckDBPyConnection, sql: str) -> list[str]:
    """The known tables that the query names; all of them when it names none, as SHOW TABLES does.

    EXPLAIN is refused with the rest: EXPLAIN ANALYZE carries out what it explains, also a COPY over an output's file.
    """
    statements = [statement.type.name for statement in connection.extract_statements(sql)]
    if statements == ["MULTI"]:
        raise InputError("query: PIVOT must list its values; write PIVOT … ON column IN ('value', …)")
    if statements != ["SELECT"]:
        raise InputError("query: only reading is possible, one statement at a time; write one SELECT")
    # a name in a string or a comment opens a table too many; DuckDB's get_table_names fails on JOIN … USING
    words = set(re.findall(r"\w+", sql.lower()))
    return [table for table in TABLES if table in words] or list(TABLES)


def _open_tables(connection: DuckDBPyConnection, reader: OutputReader, names: list[str]) -> None:
    """Make the tables, then lock the door: no other file can be read from here on, and no setting changed."""
    allowed: list[str] = []
    for name in names:
        outputs = reader.catalog.current(name) if name in SCHEMAS else {}
        made = {key: o for key, o in sorted(outputs.items()) if not o.quarantined and not o.is_lost}
        urls = list(dict.fromkeys(reader.url(output) for output in made.values()))
        if any("://" in url for url in urls) and not any("://" in url for url in allowed):
            # every environment's object store is the same, with other credentials at most
            connection.register_filesystem(next(iter(reader.files.values())).root.fs)
        allowed += urls + [_without_wildcards(url) for url in urls if url != _without_wildcards(url)]
        if urls:
            shared = _rows_wanted(name, made, reader)
            if shared is not None:
                connection.register(f"{name} wanted", shared)
            connection.execute(_view(name, urls, only_wanted=shared is not None))
        else:
            known = CATALOG_TABLES.get(name)
            rows = known.read(reader) if known else SCHEMAS[name].arrow.empty_table()
            connection.register(name, rows)
    connection.execute("SET allowed_paths = ?", [allowed])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _rows_wanted(name: str, made: Mapping[str, Output], reader: OutputReader) -> pa.Table | None:
    """Where files of several partitions share a stored one, whose rows count in it: another may have newer ones."""
    if all(output.path.startswith(f"{folder_of(name, key)}/") for key, output in made.items()):
        return None
    column = SCHEMAS[name].partition_column
    stored = [reader.url(output) for output in made.values()]
    return pa.table({"filename": stored, column: [file_of(key) for key in made]})


def _view(name: str, urls: list[str], *, only_wanted: bool) -> str:
    columns = ", ".join(f'"{column}"' for column in SCHEMAS[name].columns)
    files = ", ".join(_literal(_without_wildcards(url)) for url in urls)
    # the path of a photo's file may hold "a=b", which makes no column here
    rows = f"read_parquet([{files}], hive_partitioning = false, filename = {only_wanted})"
    if only_wanted:
        rows += f' SEMI JOIN "{name} wanted" USING (filename, "{SCHEMAS[name].partition_column}")'
    return f'CREATE VIEW "{name}" AS SELECT {columns} FROM {rows}'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _without_wildcards(url: str) -> str:
    """The URL as a pattern that only the URL itself fits."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in url)


def _reason(error: Exception) -> str:
    """DuckDB's message without its class, its guesses at other tables, and the picture of the query."""
    lines = [line for line in str(error).split("\n\n")[0].splitlines() if not line.startswith("Did you mean")]
    first, *others = lines or [type(error).__name__]
    return ", ".join([first.split(" Error: ", 1)[-1].rstrip("!. "), *(other.strip() for other in others)])


def _distinct(names: list[str]) -> list[str]:
    """The names with a number behind each that comes again: JSON would lose one of two equal ones."""
    seen: dict[str, int] = {}
    distinct: list[Any] = []
    for name in names:
        count = seen[name] = seen.get(name, 0) + 1
        distinct.append(name if count == 1 else f"{name}_{count}")
    return distinct
