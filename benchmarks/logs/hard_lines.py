"""Lines that are hard to read: sixteen kinds that real logs hold, and what each of them is.

A maker gets the parts of an ordinary line and returns the hard one, with its newline. What a scanner has to make of it
is told beside it: a good line counts, a quarantined one does not.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Parts:
    """An ordinary line's parts; `time` comes without brackets, `photo` is the id as it stands in a path."""

    address: bytes
    time: bytes
    photo: bytes
    agent: bytes
    random: random.Random

    def line(
        self,
        *,
        request: bytes | None = None,
        address: bytes | None = None,
        time: bytes | None = None,
        answer: bytes = b"200 51234",
        referrer: bytes = b"https://www.google.com/",
        agent: bytes | None = None,
        end: bytes = b"\n",
    ) -> bytes:
        """A view of the photo in Combined format, with some parts replaced."""
        return b'%b - - [%b] "%b" %b "%b" "%b"%b' % (
            self.address if address is None else address,
            self.time if time is None else time,
            b"GET /photos/%b.jpg HTTP/1.1" % self.photo if request is None else request,
            answer,
            referrer,
            self.agent if agent is None else agent,
            end,
        )


def _escaped_quotes(one: Parts) -> bytes:
    requests = (
        rb"GET /photos/%b.jpg?title=\"x\" HTTP/1.1" % one.photo,
        rb"GET /photos/say-\"cheese\"-%d.jpg HTTP/1.1" % one.random.randrange(50),
        None,
    )
    return one.line(
        request=one.random.choice(requests), agent=rb"Mozilla/5.0 (X11; \"Linux\") Firefox/130.0 \\"
    )


def _latin_1(one: Parts) -> bytes:
    if one.random.random() < 0.5:
        return one.line(request=b"GET /photos/caf\xe9-%d.jpg HTTP/1.1" % one.random.randrange(50))
    return one.line(agent=b"Navigateur fran\xe7ais/2.1 (Windows)")


def _tls_handshake(one: Parts) -> bytes:
    raw = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(one.random.choices(range(128, 256), k=24))
    request = raw if one.random.random() < 0.5 else "".join(f"\\x{byte:02X}" for byte in raw).encode()
    return one.line(request=request, answer=b"400 157", referrer=b"-", agent=b"-")


def _ipv6_zone(one: Parts) -> bytes:
    return one.line(
        address=b"fe80::1ff:fe23:%x%%eth%d" % (one.random.randrange(999), one.random.randrange(3))
    )


def _no_size(one: Parts) -> bytes:
    return one.line(answer=b"304 -")


def _blank_in_path(one: Parts) -> bytes:
    return one.line(request=b"GET /photos/my photo %d.jpg HTTP/1.1" % one.random.randrange(50))


def _long_url(one: Parts) -> bytes:
    return one.line(
        request=b"GET /photos/%b.jpg?%b HTTP/1.1" % (one.photo, b"a=%d&" % one.random.randrange(99) * 1_800)
    )


def _common_format(one: Parts) -> bytes:
    return b'%b - - [%b] "GET /photos/%b.jpg HTTP/1.1" 200 4321\n' % (one.address, one.time, one.photo)


def _one_quoted_field(one: Parts) -> bytes:
    return b'%b - - [%b] "GET /photos/%b.jpg HTTP/1.1" 200 4321 "-"\n' % (one.address, one.time, one.photo)


def _nul_bytes(one: Parts) -> bytes:
    if one.random.random() < 0.5:
        return one.line(request=b"GET /photos/%b.jpg?a=\0\0 HTTP/1.1" % one.photo)
    return one.line(agent=b"Mozilla/5.0 \0\0\0 Firefox/130.0")


def _glued(one: Parts) -> bytes:
    return one.line(end=b"") + one.line(referrer=b"-")


def _truncated(one: Parts) -> bytes:
    return one.line()[: -3 - one.random.randrange(20)] + b"\n"


def _impossible_value(one: Parts) -> bytes:
    day = one.time.replace(one.time[:6], b"30/Feb")
    return one.random.choice(
        (
            one.line(time=day),
            one.line(time=one.time.replace(one.time[11:14], b":24")),
            one.line(answer=b"OK 5120"),
            one.line(answer=b"200 99999999999999999999"),
        )
    )


def _crlf(one: Parts) -> bytes:
    return one.line(end=b"\r\n")


def _extra_fields(one: Parts) -> bytes:
    return one.line(end=b' 0.012 "photos.example" "10.0.0.%d, -"\n' % one.random.randrange(9))


def _empty(one: Parts) -> bytes:
    return b"\n"


@dataclass(frozen=True)
class HardClass:
    """One kind of hard line, and what is right."""

    name: str
    verdict: str
    make: Callable[[Parts], bytes]


HARD_CLASSES = (
    HardClass("escaped quotes", "Good: a quote after a backslash belongs to the field.", _escaped_quotes),
    HardClass(
        "latin-1",
        "Good: a person whatever the agent's bytes are; a path that is no UTF-8 is no photo's.",
        _latin_1,
    ),
    HardClass(
        "TLS handshake", "Good: a request that is no HTTP, raw or escaped, is about no photo.", _tls_handshake
    ),
    HardClass("IPv6 zone", "Good: the zone after the percent sign belongs to the address.", _ipv6_zone),
    HardClass("no size", "Good: `-` is a size of 0.", _no_size),
    HardClass("blank in the path", "Good: the path goes on to the protocol.", _blank_in_path),
    HardClass("long URL", "Good: 9 kB are no reason to reject a line.", _long_url),
    HardClass("Common format", "Good: without an agent the client counts as a person.", _common_format),
    HardClass("one quoted field", "Quarantined: neither Common nor Combined format.", _one_quoted_field),
    HardClass("NUL bytes", "Good: in a query or an agent they change nothing.", _nul_bytes),
    HardClass("glued lines", "Quarantined: after the agent has to come a blank or the end.", _glued),
    HardClass("truncated", "Quarantined: the agent's quote is never closed.", _truncated),
    HardClass(
        "impossible value",
        "Quarantined: 30 February, hour 24, a status that is no number, a size of 20 digits.",
        _impossible_value,
    ),
    HardClass("CRLF", "Good: white space may end a line.", _crlf),
    HardClass("extra fields", "Good: what follows the agent after a blank is ignored.", _extra_fields),
    HardClass("empty", "Quarantined: it says nothing.", _empty),
)
