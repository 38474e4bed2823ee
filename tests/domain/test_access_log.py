"""Lines of web access logs: what is in the format, what is not, and files that break off."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photo_popularity.domain.access_log import (
    BAD_TIME,
    EMPTY,
    FOREIGN,
    MAX_LINE_BYTES,
    TOO_LONG,
    Rejected,
    Request,
    parse_line,
    read_lines,
)
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.log_bytes import CORRUPT, TRUNCATED

GOOD = (
    b'10.0.0.1 - - [20/Sep/2026:02:01:51 +0200] "GET /photos/a.jpg?w=640 HTTP/1.1" 200 4096 "-" "Mozilla/5.0"'
)


def with_time(time: bytes) -> bytes:
    return b"10.0.0.1 - - [" + time + b'] "GET / HTTP/1.1" 200 1 "-" "A"'


def with_request(request: bytes) -> bytes:
    return b'10.0.0.1 - - [20/Sep/2026:02:01:51 +0200] "' + request + b'" 400 1 "-" "A"'


def good(line: bytes) -> Request:
    parsed = parse_line(line)
    assert isinstance(parsed, Request), parsed
    return parsed


def test_a_combined_line_is_read_field_by_field() -> None:
    assert parse_line(GOOD) == Request(
        address=b"10.0.0.1",
        epoch_seconds=1_789_862_511,
        method=b"GET",
        target=b"/photos/a.jpg?w=640",
        status=200,
        size=4096,
        referrer=b"-",
        agent=b"Mozilla/5.0",
    )


def test_a_common_line_has_no_referrer_and_no_agent() -> None:
    line = b'piweba3y.prodigy.com - - [01/Aug/1995:00:00:10 -0400] "GET / HTTP/1.0" 304 -\r'
    request = good(line)
    assert (request.referrer, request.agent, request.size) == (None, None, 0)
    assert request.moment == datetime(1995, 8, 1, 4, 0, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time", "utc"),
    [
        (b"01/Nov/2026:00:30:00 +0100", "2026-10-31T23:30:00+00:00"),  # the day before, in UTC
        (b"31/Oct/2026:23:30:00 -0530", "2026-11-01T05:00:00+00:00"),  # the day after
        (b"25/Oct/2026:02:30:00 +0200", "2026-10-25T00:30:00+00:00"),  # twice on the clock, once in UTC
        (b"25/Oct/2026:02:30:00 +0100", "2026-10-25T01:30:00+00:00"),
        (b"29/Feb/2028:12:00:00 +0000", "2028-02-29T12:00:00+00:00"),
        (b"30/Jun/2026:23:59:60 +0000", "2026-07-01T00:00:00+00:00"),  # a leap second
    ],
)
def test_the_offset_is_applied(time: bytes, utc: str) -> None:
    assert good(with_time(time)).moment.isoformat() == utc


@pytest.mark.parametrize(
    "time",
    [
        b"30/Feb/2026:00:00:00 +0000",  # no such day
        b"20/Foo/2026:00:00:00 +0000",  # no such month
        b"20/Sep/2026:24:00:00 +0000",  # no such hour
        b"20/Sep/2026:00:00:61 +0000",  # no such second
        b"20/Sep/2026:00:00:00 +9900",  # no such offset
        b"20/Sep/0001:00:00:00 +0000",  # no server logged that
    ],
)
def test_an_impossible_time_is_a_reason_of_its_own(time: bytes) -> None:
    assert parse_line(with_time(time)) == BAD_TIME


@pytest.mark.parametrize(
    ("request_line", "method", "target"),
    [
        (b"GET /a b c.jpg HTTP/1.1", b"GET", b"/a b c.jpg"),  # blanks in the path
        (b"GET /old", b"GET", b"/old"),  # HTTP/0.9
        (b'GET /q?s=\\"x\\" HTTP/2.0', b"GET", b'/q?s=\\"x\\"'),  # escaped quotes
        (b"CONNECT foo.com:25 HTTP/1.1", b"CONNECT", b"foo.com:25"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1", b"GET", b"/" + b"x" * 9000),
        (b"-", None, None),  # nothing was sent
        (b"", None, None),
        (rb"\x16\x03\x01\x01 \x02", None, None),  # a TLS handshake
        (b"lv|'|'|VHJvamFu|'|'|MARK", None, None),  # an attack
        (b"GET /\xff\xfe\x00.jpg HTTP/1.1", b"GET", b"/\xff\xfe\x00.jpg"),  # raw bytes
    ],
)
def test_any_request_in_a_well_formed_line_is_good(
    request_line: bytes, method: bytes | None, target: bytes | None
) -> None:
    request = good(with_request(request_line))
    assert (request.method, request.target) == (method, target)


def test_fields_appended_after_the_agent_are_ignored() -> None:
    assert parse_line(GOOD + b' "1.2.3.4" 0.012 host=a') == parse_line(GOOD)


def test_quotes_in_referrer_and_agent_are_escaped_not_the_end() -> None:
    request = good(GOOD.replace(b'"-"', rb'"http://x/\"q\""').replace(b"Mozilla/5.0", rb"say \"hi\" \\"))
    assert (request.referrer, request.agent) == (rb"http://x/\"q\"", rb"say \"hi\" \\")


@pytest.mark.parametrize(
    "address", [b"2001:db8::1", b"::ffff:10.0.0.1", b"fe80::1%eth0", b"unix:", b"dialup-7.example.com"]
)
def test_clients_are_addresses_and_host_names(address: bytes) -> None:
    assert good(GOOD.replace(b"10.0.0.1", address)).address == address


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", EMPTY),
        (b" \t\r", EMPTY),
        (b'"' + GOOD + b'"', FOREIGN),  # wrapped in one more pair of quotes
        (b"www.example.com:443 " + GOOD, FOREIGN),  # a virtual host first
        (b"Jul  8 11:07:12 host nginx[2869]: " + GOOD, FOREIGN),  # syslog
        (b'{"ClientAddr":"172.17.0.1:39490","RequestMethod":"GET"}', FOREIGN),
        (b"2021/09/30 09:23:53 [error] 1#1: *17 open() failed", FOREIGN),
        (GOOD[:-1], FOREIGN),  # cut within the agent
        (GOOD[: GOOD.rindex(b' "Mozilla')], FOREIGN),  # one quoted field is neither format
        (GOOD.replace(b" 200 ", b" OK "), FOREIGN),
        (GOOD.replace(b" 4096 ", b" 99999999999999999999 "), FOREIGN),  # no sum could hold it
        (b"\x00" * 20 + GOOD, FOREIGN),  # a hole that a crash left
        (GOOD.replace(b"HTTP/1.1", b"x" * MAX_LINE_BYTES), TOO_LONG),
    ],
)
def test_what_is_in_no_known_format_has_a_reason(line: bytes, reason: str) -> None:
    assert parse_line(line) == reason


def read(data: bytes) -> list[Request | Rejected]:
    return list(read_lines(io.BytesIO(data)))


def test_lines_are_numbered_from_one_and_the_last_needs_no_newline() -> None:
    lines = read(GOOD + b"\n\nnonsense\n" + GOOD)
    assert lines == [
        parse_line(GOOD),
        Rejected(2, EMPTY, b""),
        Rejected(3, FOREIGN, b"nonsense"),
        parse_line(GOOD),
    ]


def test_other_line_separators_do_not_end_a_line() -> None:
    """`str.splitlines` would cut at these, and a client can send them."""
    assert len(read(GOOD.replace(b"Mozilla", "a\x0b\x0c\x1c\x85\u2028b".encode()) + b"\n")) == 1


def test_gzip_is_known_by_its_bytes_and_members_follow_each_other() -> None:
    data = (
        gzip.compress(GOOD[:50])
        + gzip.compress(GOOD[50:] + b"\n")
        + gzip.compress(GOOD + b"\n")
        + b"\0" * 512
    )
    assert read(data) == [parse_line(GOOD)] * 2


def test_a_truncated_gzip_keeps_the_lines_before_the_cut() -> None:
    text = b"".join(GOOD.replace(b"4096", b"%d" % number) + b"\n" for number in range(5000))
    whole = gzip.compress(text)
    cut = whole[: len(whole) // 2]
    before = zlib.decompressobj(wbits=31).decompress(cut)
    *lines, last = read(cut)
    assert lines == read(text)[: before.count(b"\n")]
    assert isinstance(last, Rejected)
    assert (last.line_number, last.reason) == (len(lines) + 1, TRUNCATED)
    # a decompressor may hold a last byte back
    assert before.rpartition(b"\n")[2].startswith(last.line[:-1])
    assert len(lines) > 1000


@pytest.mark.parametrize("length", [2, 5, 10])
def test_a_gzip_of_a_few_bytes_is_one_rejected_line(length: int) -> None:
    assert read(gzip.compress(GOOD)[:length]) == [Rejected(1, TRUNCATED, b"")]


def test_a_corrupt_gzip_keeps_the_lines_before_the_damage() -> None:
    """zlib withholds the whole piece in which it finds the damage, so short files would lose everything."""
    whole = bytearray(gzip.compress(GOOD + b"\n" + GOOD + b"\n"))
    whole[-8] ^= 0xFF  # the checksum
    assert read(bytes(whole)) == [parse_line(GOOD), parse_line(GOOD), Rejected(3, CORRUPT, b"")]


def test_bytes_after_the_last_gzip_member_are_reported() -> None:
    assert read(gzip.compress(GOOD + b"\n") + b"garbage") == [parse_line(GOOD), Rejected(2, CORRUPT, b"")]


def test_a_line_without_end_is_rejected_once_and_not_kept_whole() -> None:
    endless = b"x" * (20 * 1024 * 1024)
    first, second = read(gzip.compress(endless + b"\n" + GOOD, compresslevel=1))
    assert isinstance(first, Rejected)
    assert (first.line_number, first.reason) == (1, TOO_LONG)
    assert len(first.line) <= MAX_LINE_BYTES + 1
    assert second == parse_line(GOOD)


def test_another_compression_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"^the file is compressed with bzip2; unpack it, or compress it"):
        read(bz2.compress(GOOD))


@given(st.binary(max_size=400) | st.text(alphabet='0a:/ []"\\-+HTPGE.\n', max_size=200).map(str.encode))
def test_random_bytes_give_one_result_a_line(data: bytes) -> None:
    if data.startswith((b"PK", b"\x1f\x8b", b"\x28\xb5")):
        return
    assert len(read(data)) == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(deadline=None, max_examples=300)
def test_a_gzip_with_any_byte_changed_ends_with_one_reason_or_is_whole(position: int, change: int) -> None:
    data = bytearray(gzip.compress(b"\n".join([GOOD, b"nonsense", GOOD]) + b"\n", mtime=0))
    data[2 + position % (len(data) - 2)] ^= change
    lines, whole = read(bytes(data)), [parse_line(GOOD), Rejected(2, FOREIGN, b"nonsense"), parse_line(GOOD)]
    last = lines[-1]
    if isinstance(last, Rejected) and last.reason in (CORRUPT, TRUNCATED):
        assert last.line_number == len(lines)
    else:
        # a byte of the header that tells nothing of the content
        assert lines == whole


@given(st.text(alphabet='\\"', max_size=60))
def test_hostile_quotes_are_read_or_rejected(agent: str) -> None:
    parsed = parse_line(GOOD.replace(b"Mozilla/5.0", agent.encode()))
    assert parsed == FOREIGN or isinstance(parsed, Request)


@pytest.mark.real_data
def test_real_logs_of_every_origin_have_as_many_lines_as_newlines(real_data: Path) -> None:
    files = [path for path in sorted((real_data / "logs").rglob("*")) if path.is_file()]
    assert len(files) > 40
    for path in files:
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        expected = text.count(b"\n") + (text[-1:] not in (b"\n", b""))
        with path.open("rb") as stream:
            assert sum(1 for _ in read_lines(stream)) == expected, path.name
