"""Log lines on which two scanners can be compared: good ones with an odd field here and there, some of them damaged.

A line is made of fields, each of them odd with a small probability, and then has up to six edits. About half of the
lines are good, and about a third count for a photo. The seed decides everything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from photo_popularity.domain.behavior_rules import BehaviorRules
from tests.log_lines import scan_both

RULES = BehaviorRules(own_hosts=("photos.example", "[2001:db8::7]"), robot_patterns=("houseelf",))
# every path that is text is a photo's, so that a path that ends at a wrong place cannot go by unseen
PRYING_RULES = BehaviorRules(like_pattern="(?P<photo_id>.+)", download_pattern="(?P<photo_id>.+)")
# as simple as patterns can be, each matching what another one matches too
SHORT_RULES = BehaviorRules(
    view_pattern="/photos/(?P<photo_id>[^/]+)",
    like_pattern="/(?P<photo_id>[^/]+)/p1/like",
    download_pattern="/photos/(?P<photo_id>[^/]+)",
    image_extensions=("JPG", "g", "example1", "tar"),
)
ALL_RULES = {"usual": RULES, "prying": PRYING_RULES, "short": SHORT_RULES}

_ODD = 0.045
_RARE = 0.002
_SPECIAL = b'" []\\\0\t\r\x0b\x0c-/:+0159aZ\xff?%@'
_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_ADDRESS_BYTES = b"0123456789abcdefxyz.:-%"
_AGENTS = [
    b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    b"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15",
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0.0.0 Safari/537.36",
]
_ROBOTS = [b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", b"HouseElf/1.0"]
_ODD_AGENTS = [
    b"-",
    b"",
    b" ",
    b"curl/8.5.0",
    rb"say \"hi\" \\",
    rb"Mozilla/5.0 (\"X11\") \\\"Firefox\\\"",
    b"Mozilla/5.0 caf\xe9 \xff",
    b"Mozilla/5.0 [x] Firefox",
    b"Mozilla/5.0\tFirefox",
    b"Mozilla/5.0 \0 Firefox",
    b"M" * 1_500,
    b"\\",
]
_REFERRERS = [
    b"-",
    b"https://www.google.com/",
    b"https://photos.example/photos/p1",
    b"http://other.example/page?q=1#top",
]
_ODD_REFERRERS = [
    b"",
    b"http://x",
    b"http://",
    b"https://",
    b"http:///x",
    b"http:/x.example/",
    b"httpx://photos.example/",
    b"HTTPS://Photos.Example:8443/x",
    b"HTTP://OTHER.EXAMPLE",
    b"hTTp://photos.example./",
    b"https://photos.example..:80",
    b"https://photos.example?x=/",
    b"https://photos.example#x",
    b"https://other.example?u=@photos.example",
    b"https://?photos.example",
    b"https://#",
    b"https://user@photos.example/",
    b"https://user:word@photos.example:443/",
    b"https://photos.example@other.example/",
    b"https://a@b@photos.example/",
    b"https://@photos.example",
    b"https://:80/",
    b"https://[2001:db8::7]:8080/",
    b"https://[2001:DB8::7]",
    b"https://[2001:db8::8]/",
    b"https://[2001:db8::7",
    b"https://[]/",
    b"https://u@[2001:db8::7]#a",
    b"android-app://com.example/",
    b"ftp://other.example/",
    b" https://other.example/",
    rb"http://other.example/\"q\"",
    rb"http://other\".example/",
    b"http://caf\xe9.example/",
    b"http://photos.example\\\\/x",
    b"https://" + b"h" * 70 + b".example/",
]
_ODD_PATHS = [
    b"/photos/my%20k%C3%A4tzchen.png",
    b"/photos/%FF.jpg",
    b"/photos/p%00.jpg",
    b"/photos/p%2.jpg",
    b"/photos/a b c.jpg",
    b"/photos/a  b.jpg?x y",
    b"/photos/caf\xe9.jpg",
    "/photos/kätzchen.jpg".encode(),
    b"/photos/p1.jpg HTTP/1.1",
    b"/photos/p1.jpg HTTP/1.1 ",
    b"/photos/p1\0.jpg",
    b"/photos/p1\x7f.jpg",
    b"/photos/p1\x1f.jpg",
    b"/photos/p1.jpg\t",
    b"/photos/.jpg",
    b"/photos/p1.tar.JPG",
    b"/photos/p1.tar.jPeG",
    b"/photos/p1.tiff",
    b"/photos/p1.tifff",
    b"/photos/p1.",
    b"/photos/p1.jp@",
    b"/photos/p1.\x0apg",
    b"/photos/p1.EXAMPLE1",
    b"/photos/p.xexample1",
    b"/photos/.g",
    b"/photos/jpg",
    b"/photos//like",
    b"/photos/p1/like.jpg",
    b"/photos/p%31.jpg",
    b".jpg",
    b"/photos/p1.html",
    b"/photos/a/b.jpg",
    b"/photos/a%2Fb.jpg",
    b"/photos/p1.jpg/",
    rb"/photos/say-\"cheese\".jpg",
    rb"/photos/p1.jpg?t=\"x\"",
    rb"/photos/p1\\.jpg",
    b"?",
    b"?/photos/p1.jpg",
    b"*",
    b"http://photos.example/photos/p1.jpg",
]
_ODD_PROTOCOLS = [
    b"",
    b" HTTP/2",
    b" HTTP/1",
    b" HTTP/1.10",
    b" HTTP/11",
    b" HTTP/x",
    b" HTTP/x.1",
    b" HTTP/1.x",
    b" HTTP/1x1",
    b" HTTP/1.1 ",
    b" HTTP/1 HTTP/1.1",
    b"\tHTTP/1.1",
    b"  HTTP/1.1",
    b" http/1.1",
]
_ODD_REQUESTS = [
    b"-",
    b"",
    b"GET",
    b"GET ",
    b"POST ",
    b"GET  ",
    b"GET\t/photos/p1.jpg",
    b"GET  /photos/p1.jpg HTTP/1.1",
    b"GET HTTP/1.1",
    b"GET  HTTP/1.1",
    b"GET /",
    b"get /photos/p1.jpg HTTP/1.1",
    b"GETS /photos/p1.jpg HTTP/1.1",
    b"HEAD /photos/p1.jpg HTTP/1.1",
    b"POST /photos/p1.jpg HTTP/1.1",
    b"GET /photos/p1/like HTTP/1.1",
    b"P /photos/p1/like HTTP/1.1",
    b"CONNECT photos.example:443 HTTP/1.1",
    rb"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x80",
    b"lv|'|'|VHJvamFu|'|'|MARK",
]
_ODD_ADDRESSES = [
    b"fe80::1%eth0",
    b"::1",
    b"::ffff:10.0.0.1",
    b"unix:",
    b"-",
    b"dialup-7.example.com",
    b"[::1]",
    b'"10.0.0.1"',
    b"10.0.0.1\\",
    b"caf\xe9.example",
    b"10.0.0.1\t-",
    b"10.0.0.1, 10.0.0.2",
    b"\x7f",
    b"~!#",
]
_ODD_USERS = [
    b"bob",
    b"b\xf6b",
    b"[x",
    b"]",
    b'"u"',
    b'""',
    b"\\",
    b"a b",
    b"",
    b"a\tb",
    b"u" * 50,
    b"[20/Sep/2026:12:00:00",
]
_ODD_STATUSES = b"199 201 204 206 299 300 301 304 305 403 404 500 000 999 20 2000 OK 2x0 -".split()
_ODD_SIZES = [
    b"-",
    b"0",
    b"00012",
    b"123456789012",
    b"999999999999",
    b"1234567890123",
    b"9" * 20,
    b"-1",
    b"1-",
    b"",
    b"5 5",
    b"0x1f",
]
_ODD_ENDS = [
    b"\r",
    b"\r\r",
    b" ",
    b"\t\r",
    b" x",
    b"x",
    b"\tx",
    b"\0",
    b' "1.2.3.4" 0.012 host=a',
    b' "unfinished',
    b" \\",
    b" \xff\0",
    b'"',
    b" 0.001 0.002 .",
]
_ODD_TIMES = [
    b"30/Feb/2026:12:00:00 +0000",
    b"29/Feb/2026:12:00:00 +0000",
    b"29/Feb/2028:12:00:00 +0000",
    b"29/Feb/1900:12:00:00 +0000",
    b"29/Feb/2000:12:00:00 +0000",
    b"29/Feb/2100:12:00:00 +0000",
    b"31/Apr/2026:12:00:00 +0000",
    b"00/Sep/2026:12:00:00 +0000",
    b"20/Foo/2026:12:00:00 +0000",
    b"20/sep/2026:12:00:00 +0000",
    b"20/SEP/2026:12:00:00 +0000",
    b"20/Sep/2026:24:00:00 +0000",
    b"20/Sep/2026:12:60:00 +0000",
    b"30/Jun/2026:23:59:60 +0000",
    b"31/Dec/2026:23:59:60 -1559",
    b"20/Sep/2026:12:00:61 +0000",
    b"20/Sep/2026:12:00:99 +0000",
    b"20/Sep/2026:12:00:0x +0000",
    b"31/Dec/1969:23:59:59 +0000",
    b"01/Jan/1970:00:00:00 +0000",
    b"01/Jan/1970:00:00:00 +1559",
    b"31/Dec/9998:23:59:59 +0000",
    b"31/Dec/9998:23:59:60 -1559",
    b"01/Jan/9999:00:00:00 +0000",
    b"20/Sep/0000:12:00:00 +0000",
    b"20/Sep/2026:12:00:00 +1559",
    b"20/Sep/2026:12:00:00 -1559",
    b"20/Sep/2026:12:00:00 +1600",
    b"20/Sep/2026:12:00:00 +1560",
    b"20/Sep/2026:12:00:00 -9900",
    b"20/Sep/2026:12:00:00  0000",
    b"20/Sep/2026:12:00:00 0000",
    b"20/Sep/2026:12:00:00",
    b"20/Sep/26:12:00:00 +0000",
    b"20-Sep-2026:12:00:00 +0000",
    b"2026-09-20T12:00:00+00:00",
    bytes(18) + b"30" + bytes(6),
    b"\xb2\xb9/Sep/2026:12:00:00 +0000",
]


def mutated_lines(seed: int) -> Iterator[bytes]:
    """Line after line without end, none of them with its newline."""
    chance = random.Random(seed)
    while True:
        yield from _damaged(chance, _line(chance)).split(b"\n")


def _line(chance: random.Random) -> bytes:
    if chance.random() < _ODD / 2:
        return chance.choice(
            [b"", b" ", b"\t \r", b"\0" * chance.randrange(1, 90), b"nonsense", b'"' * 9, b"\\"]
        )
    fields = [
        _one(chance, _address, _ODD_ADDRESSES),
        _one(chance, lambda _: b"-", _ODD_USERS),
        _one(chance, lambda _: b"-", _ODD_USERS),
        b"[" + _one(chance, _time, _ODD_TIMES) + b"]",
        b'"' + _request(chance) + b'"',
        _one(chance, lambda _: chance.choice([b"200"] * 14 + [b"206", b"404"]), _ODD_STATUSES),
        _one(chance, lambda _: b"%d" % chance.randrange(10 ** chance.randrange(1, 9)), _ODD_SIZES),
    ]
    if chance.random() > _ODD:  # or else a Common line
        fields.append(b'"' + _one(chance, lambda _: chance.choice(_REFERRERS), _ODD_REFERRERS * 2) + b'"')
        agents = _ROBOTS if chance.random() < 0.1 else _AGENTS
        fields.append(b'"' + _one(chance, lambda _: chance.choice(agents), _ODD_AGENTS) + b'"')
    if chance.random() < _ODD / 4:
        del fields[chance.randrange(len(fields))]
    line = b" ".join(fields) + _one(chance, lambda _: b"", _ODD_ENDS)
    if chance.random() < _RARE:  # around 64 KiB, the longest that a line may have
        line = line.replace(b"/p", b"/p" + b"x" * (65_536 - len(line) + chance.randrange(-2, 3)), 1)
    return line


def _one(chance: random.Random, usual: Callable[[random.Random], bytes], odd: list[bytes]) -> bytes:
    return chance.choice(odd) if chance.random() < _ODD else usual(chance)


def _address(chance: random.Random) -> bytes:
    kind = chance.random()
    if kind < 0.7:
        return b"10.0.0.%d" % chance.randrange(40)
    if kind < 0.85:
        return b"2001:db8::%x" % chance.randrange(40)
    return bytes(
        chance.choices(_ADDRESS_BYTES, k=chance.choice([1, 2, 7, 8, 9, 40, *range(55, 66), 128, 200]))
    )


def _time(chance: random.Random) -> bytes:
    """Times of a few days; most have the minute of an earlier line, as those of a log do."""
    day, month = chance.choice([(20, b"Sep"), (21, b"Sep"), (1, b"Jan"), (31, b"Dec"), (28, b"Feb")])
    if chance.random() < 0.1:
        day, month = chance.randrange(1, 29), chance.choice(_MONTHS)
    minute, second = chance.choice([0, 1, 59]), chance.randrange(60)
    offset = chance.choice([b"+0000"] * 5 + [b"+0200", b"-0400", b"+0530", b"-0001", b"-0000"])
    hour = chance.choice([0, 1, 12, 23])
    return b"%02d/%b/2026:%02d:%02d:%02d %b" % (day, month, hour, minute, second, offset)


def _request(chance: random.Random) -> bytes:
    if chance.random() < _ODD:
        return chance.choice(_ODD_REQUESTS)
    kind, photo = chance.random(), chance.randrange(30)
    method, path = b"GET", b"/photos/p%d.jpg" % photo
    if kind < 0.1:
        method, path = b"POST", b"/photos/p%d/like" % photo
    elif kind < 0.2:
        path = b"/photos/p%d/download" % photo
    elif kind < 0.25:
        path = chance.choice([b"/", b"/style.css", b"/photos/p1"])
    elif kind < 0.35:
        path = _long_path(chance)
    if chance.random() < 0.2:
        path += b"?w=%d" % chance.randrange(3)
    return b"%b %b%b" % (
        method,
        _one(chance, lambda _: path, _ODD_PATHS * 2),
        _one(chance, lambda _: chance.choice([b" HTTP/1.1", b" HTTP/2.0"]), _ODD_PROTOCOLS),
    )


def _long_path(chance: random.Random) -> bytes:
    """A view whose path is as long as the words and stretches in which a scanner may compare, a query anywhere."""
    length = chance.choice([63, 64, 65, 127, 128, 129, chance.randrange(15, 200)])
    if chance.random() < 0.05:
        length = 9_000
    path = bytearray(b"/photos/" + b"x" * (length - 12) + b".jpg")
    if chance.random() < 0.3:
        path[chance.randrange(len(path))] = ord("?")
    return bytes(path)


def _damaged(chance: random.Random, line: bytes) -> bytes:
    """The line after none to six edits of its bytes."""
    text = bytearray(line)
    for _ in range(chance.choice([0] * 8 + [1, 1, 1, 1, 2, 2, 3, 6])):
        place = chance.randrange(len(text) + 1)
        kind = chance.randrange(8)
        stretch = slice(place, place + chance.randrange(40))
        if kind <= 1:
            text[place : place + 1] = bytes([chance.choice(_SPECIAL)])
        elif kind == 2:
            text[place : place + 1] = bytes([chance.randrange(256)])
        elif kind <= 4:
            text[place:place] = bytes([chance.choice(_SPECIAL)])
        elif kind == 5:
            del text[stretch]
        elif kind == 6:
            text[place:place] = text[stretch]
        elif chance.random() < 0.5:
            del text[place:]
        else:
            text += line  # the newline between two lines was lost
    return bytes(text)


def disagreement(lines: Sequence[bytes], rules: BehaviorRules = RULES) -> str | None:
    """None when both scanners say the same of a file of these lines; else the few of them that show that they do not."""
    if _agree(lines, rules):
        return None
    fewest = list(lines)
    for one in lines:
        fewer = [other for other in fewest if other is not one]
        if not _agree(fewer, rules):
            fewest = fewer
    return f"the scanners disagree about {fewest!r}"


def _agree(lines: Sequence[bytes], rules: BehaviorRules) -> bool:
    try:
        scan_both(b"\n".join(lines), rules=rules)
    except AssertionError:
        return False
    return True
