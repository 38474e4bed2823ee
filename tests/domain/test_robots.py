"""Which user agents are robots."""

from __future__ import annotations

import random

import pytest
from crawleruseragents import (  # type: ignore[import-untyped]
    CRAWLER_USER_AGENTS_DATA,
    is_crawler,
)

from photo_popularity.domain.errors import InputError
from photo_popularity.domain.robots import KnownRobots, RobotDetector

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.mark.parametrize(
    ("agent", "robot"),
    [
        (FIREFOX, False),
        (FIREFOX.encode(), False),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        (b"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2)", True),
        ("curl/8.5.0", True),
        ("", True),  # browsers send one
        (b"", True),
        (b" ", True),
        ("-", True),
        (b"-", True),
        (None, False),  # Common format has no such field: nothing is known
        (b"\xff\xfe", False),  # no text, but no robot that we know
    ],
)
def test_a_robot_is_known_by_its_agent(agent: str | bytes | None, robot: bool) -> None:
    assert RobotDetector().is_robot(agent) is robot


def test_patterns_of_the_site_come_on_top_in_either_case() -> None:
    detector = RobotDetector(("acme-(monitor|probe)/",))
    assert detector.is_robot("ACME-Probe/1.0")
    assert detector.is_robot("Googlebot/2.1")
    assert not detector.is_robot(FIREFOX)
    assert not RobotDetector().is_robot("ACME-Probe/1.0")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("acme(", r"robot pattern 'acme\(' is not a regular expression"),
        ("", "robot pattern '' matches every user agent"),
        (".*", r"robot pattern '\.\*' matches every user agent"),
    ],
)
def test_a_pattern_that_makes_no_sense_is_named(pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RobotDetector(("fine", pattern))


def test_an_endless_agent_is_judged_by_its_start() -> None:
    assert RobotDetector().is_robot("Googlebot/2.1 " + "x" * 60_000)
    assert not RobotDetector().is_robot(FIREFOX + " " * 60_000 + "Googlebot/2.1")


def test_known_robots_are_those_of_the_list_and_no_others() -> None:
    """Its own function looks for each of 1,500 patterns, one after the other; ours must leave out none that could match."""
    known = KnownRobots([robot["pattern"] for robot in CRAWLER_USER_AGENTS_DATA])
    agents = [FIREFOX, *(agent for robot in CRAWLER_USER_AGENTS_DATA for agent in robot["instances"])]
    chance = random.Random(1)
    for agent in agents:
        cut = chance.randrange(len(agent) + 1)
        other_digits = "".join(chance.choice("0123456789") if its.isdigit() else its for its in agent)
        for one in (
            agent,
            agent[cut:],
            agent[:cut],
            agent.swapcase(),
            FIREFOX[:cut] + agent[cut:],
            other_digits,
            agent[:cut] + str(chance.randrange(100)) + agent[cut:],
        ):
            assert known.match(one) == is_crawler(one), one


def test_patterns_that_are_no_plain_text_are_searched_as_they_are() -> None:
    known = KnownRobots([r"^First", r"a[bc]+d", "xy", r"Some\.Bot\/", "one|two words", "^ds9", r"v[2-4]\.0x"])
    for agent in ("First/1", "zabcbd", "-xy-", "x Some.Bot/2", "two words", "ds9", "v3.0x"):
        assert known.match(agent), agent
    for agent in ("The First", "ad", "SomexBot/2", "", "x", "ds8", "v5.0x"):
        assert not known.match(agent), agent
    assert not KnownRobots([]).match(FIREFOX)


@pytest.mark.parametrize(
    ("pattern", "robot", "other"),
    [
        (r"x(?P<d>\d)(?P=d)bot", "x11bot", "x12bot"),
        (r"x\N{DIGIT ONE}bot", "x1bot", "x2bot"),
        (r"(a)\1y9", "aay9", "bby9"),
        (r"v\d+$", "v12", "v1x"),
    ],
)
def test_patterns_that_tell_digits_apart_do_so(pattern: str, robot: str, other: str) -> None:
    known = KnownRobots([r"(b)\1z8", pattern])
    assert [known.match(agent) for agent in (robot, other)] == [True, False]
