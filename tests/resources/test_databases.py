"""Connections to database servers: what each side notices of the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from resources.databases import open_to_read, open_to_write

IDLE, BETWEEN, TIMES = (f"keepalives_{what}" for what in ("idle", "interval", "count"))


@pytest.mark.postgres
@pytest.mark.parametrize("opened", [open_to_read, open_to_write])
def test_within_a_minute_either_side_notices_that_the_machine_of_the_other_is_lost(
    opened: Callable[[sa.URL], sa.Engine], postgres_url: str
) -> None:
    """Nothing says so: a server would keep the locks of a lost node for two hours, as Linux has it."""
    engine = opened(sa.make_url(postgres_url))
    with engine.connect() as connection:
        client = connection.connection.driver_connection.info.dsn_parameters  # type: ignore[union-attr]
        server = {its: connection.scalar(sa.text(f"SHOW tcp_{its}")) for its in (IDLE, BETWEEN, TIMES)}
    engine.dispose()
    for side in (client, server):
        assert 0 < int(side[IDLE]) + int(side[BETWEEN]) * int(side[TIMES]) <= 60
