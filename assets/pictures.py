"""Pictures in an asset's page: PNG bytes as Dagster shows them."""

from __future__ import annotations

from base64 import b64encode

import dagster as dg


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    """The picture as metadata: Dagster's UI renders Markdown with the image inside it."""
    return dg.MetadataValue.md(f"![](data:image/png;base64,{b64encode(png).decode()})")
