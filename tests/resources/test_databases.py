"""Connections to database servers: what each side notices of the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import sqlalchemy as sa

from resources.databases import open_to_read, open_to_write

IDLE, BETWEEN, TIMES = (f"keepalives_{what}" for what in ("idle", "interval", "count"))


def seconds_to_notice(side: Mapping[str, str]) -> int:
    """After how many seconds of silence a side gives the other up."""
    return int(side[IDLE]) + int(side[BETWEEN]) * int(side[TIMES])


@pytest.mark.postgres
@pytest.mark.parametrize("opened", [open_to_read, open_to_write])
def test_a_client_notices_within_a_minute_that_the_servers_machine_is_lost(
    opened: Callable[[sa.URL], sa.Engine], postgres_url: str
) -> None:
    engine = opened(sa.make_url(postgres_url))
    with engine.connect() as connection:
        client = connection.connection.driver_connection.info.dsn_parameters  # type: ignore[union-attr]
    engine.dispose()
    assert 0 < seconds_to_notice(client) <= 60


@pytest.mark.postgres
def test_a_server_notices_within_a_minute_that_a_node_is_lost_which_holds_its_locks(
    postgres_url: str,
) -> None:
    """Nothing says so: as Linux has it, it would keep them for two hours."""
    engine = open_to_write(sa.make_url(postgres_url))
    with engine.connect() as connection:
        server = {its: connection.scalar(sa.text(f"SHOW tcp_{its}")) for its in (IDLE, BETWEEN, TIMES)}
    engine.dispose()
    assert 0 < seconds_to_notice(server) <= 60
