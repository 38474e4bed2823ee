"""The catalog as tables for queries: the models with their cards, every execution, and every current output.

Only their columns and rows belong here; the assets' own tables are described in `domain/schemas.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from photo_popularity.domain.schemas import MODELS, SCHEMAS, TIMESTAMP
from resources.json_object import JsonObject
from resources.outputs import OutputReader, beside

MODEL = "popularity_model"
ASSETS = (*SCHEMAS, MODEL)


@dataclass(frozen=True)
class CatalogTable:
    """A table whose rows are made from the catalog when a query names it."""

    schema: pa.Schema
    rows: Callable[[OutputReader], list[dict[str, Any]]]

    def read(self, reader: OutputReader) -> pa.Table:
        """The table as it is now."""
        return pa.Table.from_pylist(self.rows(reader), schema=self.schema)


def _models(reader: OutputReader) -> list[dict[str, Any]]:
    rows = []
    for day, output in sorted(reader.catalog.current(MODEL).items()):
        if output.is_lost:
            continue
        card = json.loads(reader.read(beside(output, ".json")))
        span = card.get("trained_on", {})
        rows.append(
            {
                "day": _date(day),
                "path": reader.url(output),
                "bytes": output.bytes,
                "trained_from": _date(span.get("from")),
                "trained_until": _date(span.get("until")),
                "examples": span.get("examples"),
                "card": json.dumps(card, sort_keys=True),
                **{name: card.get(name) for name in ("model_version", "estimator", "target", "seed")},
            }
        )
    return rows


def _executions(reader: OutputReader) -> list[dict[str, Any]]:
    return [
        {**vars(execution), "parameters": json.dumps(dict(execution.parameters), sort_keys=True)}
        for execution in reader.catalog.executions()
    ]


def _current_outputs(reader: OutputReader) -> list[dict[str, Any]]:
    return [
        {
            **output._asdict(),
            "asset": asset,
            "partition": partition,
            "path": "" if output.quarantined else reader.url(output),
            "detail": JsonObject.of(output.detail).text,
            "inputs": JsonObject.of(output.inputs).text,
        }
        for asset in ASSETS
        for partition, output in sorted(reader.catalog.current(asset).items())
    ]


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


TEXT, WHOLE_NUMBER = pa.string(), pa.int64()

CATALOG_TABLES: dict[str, CatalogTable] = {
    MODEL: CatalogTable(
        pa.schema({name: column.type for name, column in MODELS.items()}),
        _models,
    ),
    "executions": CatalogTable(
        pa.schema(
            {
                "asset": TEXT,
                "partition": TEXT,
                "status": TEXT,
                "run_id": TEXT,
                "environment": TEXT,
                "launched_by": TEXT,
                "started_at": TIMESTAMP,
                "seconds": pa.float64(),
                "rows": WHOLE_NUMBER,
                "bytes": WHOLE_NUMBER,
                "content_version": TEXT,
                "error": TEXT,
                "parameters": TEXT,
                "log": TEXT,
            }
        ),
        _executions,
    ),
    "current_outputs": CatalogTable(
        pa.schema(
            {
                "asset": TEXT,
                "partition": TEXT,
                "content_version": TEXT,
                "path": TEXT,
                "rows": WHOLE_NUMBER,
                "bytes": WHOLE_NUMBER,
                "inputs": TEXT,
                "fingerprint": TEXT,
                "environment": TEXT,
                "run_id": TEXT,
                "detail": TEXT,
            }
        ),
        _current_outputs,
    ),
}
"""What a query may name beside the assets' own tables."""
