"""The services that tests lean on are the real thing, and each test has its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from tests.services.postgres import PostgresServer
from tests.services.s3 import S3Server

if TYPE_CHECKING:
    from playwright.sync_api import Page


def rows(url: str, statement: str) -> list[Any]:
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            result = connection.execute(sa.text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        engine.dispose()


@pytest.mark.postgres
def test_the_database_is_a_postgresql_server_that_runs_without_root(postgres_url: str) -> None:
    [(version, directory)] = rows(postgres_url, "SELECT version(), current_setting('data_directory')")
    assert version.startswith("PostgreSQL")
    assert Path(directory).stat().st_uid != 0


@pytest.mark.postgres
def test_two_tests_share_no_table(postgres_server: PostgresServer, postgres_url: str) -> None:
    rows(postgres_url, "CREATE TABLE photo (id integer)")
    other = postgres_server.new_database()
    assert rows(other, "SELECT to_regclass('photo')") == [(None,)]
    postgres_server.drop(other)


@pytest.mark.postgres
def test_a_wrong_password_is_refused(postgres_server: PostgresServer, postgres_url: str) -> None:
    wrong = sa.make_url(postgres_url).set(password="wrong").render_as_string(hide_password=False)
    with pytest.raises(sa.exc.OperationalError, match="password authentication failed"):
        rows(wrong, "SELECT 1")


@pytest.mark.s3
def test_the_bucket_answers_over_http_and_refuses_to_overwrite_where_asked(
    s3_server: S3Server, s3_bucket: str
) -> None:
    client = s3_server.client()
    client.put_object(Bucket=s3_bucket, Key="night", Body=b"first")
    with pytest.raises(client.exceptions.ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=s3_bucket, Key="night", Body=b"second", IfNoneMatch="*")
    assert client.get_object(Bucket=s3_bucket, Key="night")["Body"].read() == b"first"


@pytest.mark.s3
def test_paths_reach_the_bucket_through_the_environment_alone(s3_bucket: str) -> None:
    from upath import UPath

    folder = UPath(f"s3://{s3_bucket}/logs")
    assert not folder.exists()
    (folder / "access.log").write_bytes(b"a line\n")
    assert [path.name for path in folder.iterdir()] == ["access.log"]


@contextmanager
def served(html: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is given
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.browser
def test_the_browser_runs_the_script_of_a_page_and_draws_it(browser_page: Page) -> None:
    page = "<body style='background:#00f'><p id=p></p><script>p.textContent = 6 * 7</script>"
    with served(page) as url:
        browser_page.goto(url)
        assert browser_page.inner_text("#p") == "42"
    screenshot = browser_page.screenshot()
    assert screenshot.startswith(b"\x89PNG")
    assert "Chrom" in browser_page.evaluate("navigator.userAgent")
