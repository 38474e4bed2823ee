"""A private PostgreSQL server from this machine's own binaries, and a fresh database for each test.

The server lives in a temporary folder, listens on 127.0.0.1 alone and ends with the tests.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.services.ports import HOST, free_port, wait_until

OF_INSTALLERS = "CREATEROLE CREATEDB"
# a test's server may lose everything at a crash, and is several times faster for it
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}


class Databases:
    """A server whose user may create databases."""

    def url(self, database: str) -> str:
        """The address of a database, as SQLAlchemy writes it."""
        raise NotImplementedError

    def new_database(self) -> str:
        """Create an empty database and give its address."""
        name = f"test_{secrets.token_hex(6)}"
        self.administer(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected."""
        self.administer(f"DROP DATABASE IF EXISTS {sa.make_url(url).database} WITH (FORCE)")

    def administer(self, statement: str) -> None:
        """Have the server's own user do something."""
        engine = sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(sa.text(statement))
        finally:
            engine.dispose()


@dataclass(frozen=True)
class PostgresAt(Databases):
    """Somebody else's server, by the address of any of its databases."""

    address: str

    def url(self, database: str) -> str:
        """The address of a database, with the driver that is installed."""
        address = sa.make_url(self.address).set(drivername="postgresql+psycopg2", database=database)
        return address.render_as_string(hide_password=False)


@dataclass
class PostgresServer(Databases):
    """A server; its user may create databases."""

    binaries: Path
    folder: Path
    settings: Mapping[str, str]
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait for its first answer."""
        settings = {
            **self.settings,
            "port": str(self.port),
            "listen_addresses": HOST,
            "unix_socket_directories": str(self.folder),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.folder / "data", *options],
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                **unprivileged_identity(),
            )
        ask: list[str | Path] = [self.binaries / "pg_isready", "--quiet", "--host", HOST]
        ask += ["--port", str(self.port)]
        wait_until(lambda: subprocess.run(ask, check=False).returncode == 0, self._process, log.read_text)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: by SIGINT ("fast") with its sessions ended in order, by SIGQUIT ("immediate") like a crash."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def url(self, database: str) -> str:
        """The address of a database, as SQLAlchemy writes it."""
        # without the driver's name, SQLAlchemy 2.1 looks for psycopg 3
        return f"postgresql+psycopg2://photos:{self.password}@{HOST}:{self.port}/{database}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the whole session; skips visibly where this machine has none."""
    binaries = server_binaries()
    if binaries is None:
        pytest.skip("this machine has no PostgreSQL server (Debian: apt-get install postgresql)")
    with running_server(binaries) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of an empty database of the test's own."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop(url)


@contextmanager
def installer(server: Databases, rights: str = OF_INSTALLERS) -> Iterator[str]:
    """The name of somebody who may make roles and databases, as who deploys does, and is no superuser."""
    name = f"installer_{secrets.token_hex(6)}"
    server.administer(f"CREATE ROLE {name} LOGIN {rights} PASSWORD 'of_{name}'")
    yield name
    server.administer(f"DROP ROLE {name}")


@contextmanager
def owned_database(server: Databases, rights: str = OF_INSTALLERS) -> Iterator[str]:
    """The address of an empty database as its owner has it, an installer unless it has other rights."""
    with installer(server, rights) as owner:
        url = server.new_database()
        server.administer(f"ALTER DATABASE {sa.make_url(url).database} OWNER TO {owner}")
        yield seen_by(owner, url)
        server.drop(url)


def seen_by(installer: str, url: str) -> str:
    """The address of a database for an installer."""
    its = sa.make_url(url).set(username=installer, password=f"of_{installer}")
    return its.render_as_string(hide_password=False)


def server_binaries() -> Path | None:
    """The folder of `initdb` and `postgres`; Debian keeps it off the PATH."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@contextmanager
def running_server(binaries: Path, settings: Mapping[str, str] = FAST) -> Iterator[PostgresServer]:
    """Start a server in a temporary folder, and stop and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="photo-popularity-postgres-"))
    identity = unprivileged_identity()
    server = PostgresServer(binaries, folder, settings)
    try:
        (folder / "password").write_text(server.password)
        if identity:
            for path in (folder, folder / "password"):
                os.chown(path, identity["user"], identity["group"])
        initialize(binaries, folder, identity)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def unprivileged_identity() -> dict[str, Any]:
    """Who the server runs as: PostgreSQL refuses root, so root lends it to another user."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def initialize(binaries: Path, folder: Path, identity: dict[str, Any]) -> None:
    """Make the server's data folder; a failure quotes what `initdb` said."""
    command: list[str | Path] = [
        binaries / "initdb",
        "--pgdata",
        folder / "data",
        "--username",
        "photos",
        "--no-sync",
    ]
    command += [
        "--encoding",
        "UTF8",
        "--locale",
        "C",
        "--auth",
        "scram-sha-256",
        "--pwfile",
        folder / "password",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **identity)
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stdout}{done.stderr}")
