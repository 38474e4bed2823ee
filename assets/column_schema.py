"""A table's columns as the asset's page shows them."""

from __future__ import annotations

import dagster as dg

from photo_popularity.domain.schemas import TableSchema


def table_schema(schema: TableSchema) -> dg.TableSchema:
    """The schema as the asset's page shows it."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                type=str(column.type),
                description=column.meaning,
                constraints=dg.TableColumnConstraints(
                    nullable=not column.required, unique=schema.key == (name,)
                ),
            )
            for name, column in schema.columns.items()
        ]
    )
