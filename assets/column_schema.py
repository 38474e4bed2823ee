"""Columns as an asset's page shows them."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from photo_popularity.domain.schemas import Column


def column_schema(columns: Mapping[str, Column], *, key: tuple[str, ...] = ()) -> dg.TableSchema:
    """The columns with their types, meanings and constraints; rows are unique in `key`."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                type=str(column.type),
                description=column.meaning,
                constraints=dg.TableColumnConstraints(nullable=not column.required, unique=key == (name,)),
            )
            for name, column in columns.items()
        ]
    )
