"""The photo site's database, on SQLite and on a real PostgreSQL, as it is and as it should not be."""

from __future__ import annotations

import hashlib
import sqlite3
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from photo_popularity.domain.errors import InputError
from resources.databases import database_url
from resources.errors import SourceUnavailable
from resources.photo_database import PhotoDatabase

D1, D2, D3 = date(2026, 10, 1), date(2026, 10, 2), date(2026, 10, 3)
# photo_id, owner_id, file_name, uploaded_at, deleted_at
Row = tuple[str | None, ...]
ROWS: list[Row] = [
    ("p1", "o1", "a, b.jpg", "2026-09-30T23:30:00-02:00", None),  # the first, in UTC
    ("p2", "o1", "b.jpg", "2026-10-02T00:30:00+02:00", "2026-10-03 00:00:00+00:00"),  # the first too
    ("p3", "o2", "c.jpg", "2026-10-02 12:00:00", None),
    ("p4", "gone", "d.jpg", "2026-10-03T23:59:59.999999Z", None),
]


def fill(url: str, time_type: str, rows: list[Row], *, users: bool = True) -> None:
    engine = sa.create_engine(database_url(url))
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "create table photos (photo_id text, owner_id text, title text, album text, file_name text, "
                f"width numeric, height integer, uploaded_at {time_type}, updated_at {time_type}, deleted_at {time_type})"
            )
        )
        if users:
            connection.execute(sa.text(f"create table users (owner_id text, joined_at {time_type})"))
            connection.execute(
                sa.text("insert into users values ('o1', '2026-01-01 00:00:00'), ('o2', null)")
            )
        for photo_id, owner, file, uploaded, deleted in rows:
            connection.execute(
                sa.text(
                    "insert into photos values (:p, :o, 'A \"title\",\nover lines', null, :f, 640, 480, "
                    + ":u, null, :d)".replace(":u", f"cast(:u as {time_type})").replace(
                        ":d", f"cast(:d as {time_type})"
                    )
                ),
                {"p": photo_id, "o": owner, "f": file, "u": uploaded, "d": deleted},
            )
    engine.dispose()


KINDS = [
    pytest.param("sqlite", "text", id="sqlite"),
    pytest.param("postgresql", "timestamptz", id="postgresql timestamptz", marks=pytest.mark.postgres),
    pytest.param("postgresql", "text", id="postgresql text", marks=pytest.mark.postgres),
]


@pytest.fixture(params=[kind.values for kind in KINDS], ids=[str(kind.id) for kind in KINDS])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The address of an empty database, and the type of its times."""
    server, time_type = request.param
    if server == "sqlite":
        return f"sqlite:///{tmp_path}/100% site?.sqlite".replace("?", "#"), time_type
    request.applymarker(pytest.mark.postgres)
    return str(request.getfixturevalue("postgres_url")).replace(
        "postgresql+psycopg2", "postgresql"
    ), time_type


def test_a_day_has_its_photos_by_utc_deleted_ones_too(site: tuple[str, str]) -> None:
    fill(*site, ROWS)
    found = PhotoDatabase(site[0]).read(D1, D2)
    frame = found.frame
    assert found.unusable == []
    assert frame["photo_id"].tolist() == ["p1", "p2", "p3"]
    assert frame["day"].dt.strftime("%d").tolist() == ["01", "01", "02"]
    assert frame["deleted_at"].notna().tolist() == [False, True, False]
    assert frame["file"].tolist() == ["a, b.jpg", "b.jpg", "c.jpg"]
    assert frame["uploaded_at"][1] == pd.Timestamp("2026-10-01T22:30:00Z")
    assert frame["owner_joined_at"][0] == pd.Timestamp("2026-01-01T00:00:00Z")
    assert frame["owner_joined_at"].isna().tolist() == [False, False, True]
    assert (frame["width"][0], frame["height"][0]) == (640, 480)


def test_a_read_of_any_range_gives_the_versions_of_the_state(site: tuple[str, str]) -> None:
    fill(*site, [*ROWS, ("p1", "o2", "again.jpg", "2026-10-20T08:00:00+00:00", None)])
    database = PhotoDatabase(site[0])
    days, unusable = database.state()
    versions = {key: output.content_version for key, output in days.items()}
    assert unusable == ["photos row 'p1': photo_id stands there twice; correct the row in the database"]
    assert sorted(versions) == ["2026-10-01", "2026-10-02", "2026-10-03"]
    assert {key: output.rows for key, output in days.items()} == {
        "2026-10-01": 2,
        "2026-10-02": 1,
        "2026-10-03": 1,
    }
    for first, last in [(D1, D3), (D1, D1), (D2, D2), (D3, D3), (D2, D3)]:
        reader = PhotoDatabase(site[0])
        reader.read(first, last)
        days_read = pd.date_range(first, last).strftime("%Y-%m-%d")
        assert reader.versions_read == {key: versions[key] for key in days_read}
    reader = PhotoDatabase(site[0])
    # alone it looks like a photo, but the state knows its other row
    assert reader.read(date(2026, 10, 20), date(2026, 10, 20)).frame.empty
    assert reader.versions_read == {"2026-10-20": None}


def test_a_day_whose_photos_are_gone_is_known_to_be_empty(site: tuple[str, str]) -> None:
    fill(*site, ROWS)
    database = PhotoDatabase(site[0])
    database.read(D3, D3)
    engine = sa.create_engine(database_url(site[0]))
    with engine.begin() as connection:
        connection.execute(sa.text("delete from photos where photo_id = 'p4'"))
    engine.dispose()
    assert database.read(D3, D3).frame.empty
    assert database.versions_read == {"2026-10-03": None}


def test_an_edit_moves_only_its_own_day(site: tuple[str, str]) -> None:
    fill(*site, ROWS)
    before, _ = PhotoDatabase(site[0]).state()
    engine = sa.create_engine(database_url(site[0]))
    with engine.begin() as connection:
        connection.execute(sa.text("update photos set title = 'new' where photo_id = 'p3'"))
    engine.dispose()
    after, _ = PhotoDatabase(site[0]).state()
    assert {key for key in before if before[key] != after[key]} == {"2026-10-02"}


def test_rows_that_cannot_be_used_are_told_and_stop_no_other(site: tuple[str, str]) -> None:
    rows: list[Row] = [
        *ROWS,
        (None, "o1", "x.jpg", "2026-10-01 00:00:00", None),
        ("p6", None, "x.jpg", "2026-10-01 00:00:00", None),
    ]
    rows += [("p7", "o1", None, "2026-10-01 00:00:00", None), ("p8", "o1", "x.jpg", None, None)]
    if site[1] == "text":
        rows += [("p9", "o1", "x.jpg", "1790000000", None), ("pa", "o1", "x.jpg", "yesterday", None)]
    else:
        rows += [
            ("p9", "o1", "x.jpg", "infinity", None),
            ("pa", "o1", "x.jpg", "20000-01-01 00:00:00+00", None),
        ]
    fill(*site, rows)
    days, unusable = PhotoDatabase(site[0]).state()
    assert sorted(days) == ["2026-10-01", "2026-10-02", "2026-10-03"]
    assert sorted(unusable) == [
        f"photos row {row}; correct the row in the database"
        for row in [
            "'p6': owner_id is null",
            "'p7': file is null",
            "'p8': uploaded_at is no time",
            "'p9': uploaded_at is no time",
            "'pa': uploaded_at is no time",
            "without photo_id: photo_id is null",
        ]
    ]


def test_a_missing_table_is_an_error_that_says_what_is_needed(site: tuple[str, str]) -> None:
    fill(*site, ROWS, users=False)
    with pytest.raises(
        InputError, match=r"not the database of a photo site .*users.* it needs tables photos\(photo_id,"
    ):
        PhotoDatabase(site[0]).state()


def test_a_missing_column_is_an_error_that_says_what_is_needed(site: tuple[str, str]) -> None:
    fill(*site, ROWS)
    engine = sa.create_engine(database_url(site[0]))
    with engine.begin() as connection:
        connection.execute(sa.text("alter table photos drop column album"))
    engine.dispose()
    with pytest.raises(InputError, match=r"not the database of a photo site .*album"):
        PhotoDatabase(site[0]).read(D1, D1)


def test_an_empty_table_is_a_state_without_days(site: tuple[str, str]) -> None:
    fill(*site, [])
    assert PhotoDatabase(site[0]).state() == ({}, [])
    assert PhotoDatabase(site[0]).read(D1, D2).frame.empty


@pytest.mark.postgres
def test_a_wrong_password_is_told_without_any_password(postgres_url: str) -> None:
    wrong = sa.make_url(postgres_url).set(password="s3cret").render_as_string(hide_password=False)
    with pytest.raises(SourceUnavailable, match="password authentication failed") as error:
        PhotoDatabase(wrong).state()
    assert "s3cret" not in str(error.value)
    assert "check that the server runs and lets this user in" in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://photos:s3cret@127.0.0.1:9/photos",
        "postgresql://photos@127.0.0.1:9/photos?password=s3cret",
    ],
)
def test_a_server_that_does_not_answer_is_unavailable_and_may_be_asked_again(url: str) -> None:
    with pytest.raises(SourceUnavailable, match=r"cannot be read now .*refused") as error:
        PhotoDatabase(url).state()
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "no photo database is set; give --database URL"),
        ("/srv/site.sqlite", "--database is no database URL; write it as sqlite:///FILE"),
        ("postgresql://photos@db:s3cret/photos", "--database is no database URL"),
        ("nosuch://db/photos", "no driver for such a database"),
        ("sqlite:////nowhere/site.sqlite", "/nowhere/site.sqlite: no such database file; correct --database"),
    ],
)
def test_an_address_that_is_none_is_one_clear_sentence(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        PhotoDatabase(url).state()
    assert "s3" not in str(error.value)


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "site.sqlite").write_bytes(b"a picture" * 1000)
    with pytest.raises(InputError, match=r"site\.sqlite: not the database of a photo site"):
        PhotoDatabase(f"sqlite:///{tmp_path}/site.sqlite").state()


def test_a_text_that_is_no_utf8_hides_no_other_row(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/site.sqlite"
    fill(url, "text", ROWS)
    with sqlite3.connect(tmp_path / "site.sqlite") as connection:
        connection.execute("update photos set title = cast(x'ff41' as text) where photo_id = 'p1'")
    assert PhotoDatabase(url).read(D1, D1).frame["title"][0] == "\ufffdA"


def test_the_sqlite_file_is_never_written(tmp_path: Path) -> None:
    url, file = f"sqlite:///{tmp_path}/site.sqlite", tmp_path / "site.sqlite"
    fill(url, "text", ROWS)
    before = hashlib.sha256(file.read_bytes()).digest()
    database = PhotoDatabase(url)
    database.state()
    database.read(D1, D3)
    with pytest.raises(sa.exc.OperationalError, match="readonly"), database._engine.begin() as connection:
        connection.execute(sa.text("delete from photos"))
    assert hashlib.sha256(file.read_bytes()).digest() == before
    assert [path.name for path in tmp_path.iterdir()] == ["site.sqlite"]
