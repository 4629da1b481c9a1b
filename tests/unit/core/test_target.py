# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A target says exactly one thing, or is refused with the form to use."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pgark.postgres.plugins.module_utils._core.target import (
    Target,
    format_time,
    parse_age,
    parse_time,
    parse_timeline,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from tests.unit.core.examples import MOMENTS

HALF_PAST_TWO = datetime(2026, 9, 15, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-09-15T14:30:00Z",
        "2026-09-15 14:30:00Z",
        "2026-09-15 14:30:00 Z",
        "2026-09-15T14:30Z",
        "2026-09-15T16:30:00+02",
        "2026-09-15T16:30:00+0200",
        "2026-09-15T16:30:00+02:00",
        "2026-09-15 16:30:00 +02:00",
        "2026-09-15T09:00:00-0530",
        "2026-09-16T04:30:00+14:00",
        "2026-09-15T14:30:00.000000+00",
        "  2026-09-15T14:30:00Z\n",
    ],
)
def test_one_moment_has_many_forms(text: str) -> None:
    found = parse_time(text)
    assert found == HALF_PAST_TWO
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("fraction", "microseconds"), [("5", 500000), ("12", 120000), ("000001", 1), ("999999", 999999)]
)
def test_a_fraction_of_a_second_keeps_its_digits(fraction: str, microseconds: int) -> None:
    assert parse_time(f"2026-09-15T14:30:00.{fraction}Z") == HALF_PAST_TWO.replace(microsecond=microseconds)


NO_OFFSET = "has no offset from UTC"
NOT_A_TIME = "is not a time with an offset; expected 2026-09-15T14:30:00Z or"
BARE_DATE = "is a date without a time"
NO_SUCH_DAY = "does not exist in the calendar"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-09-15 14:30:00", NO_OFFSET),
        ("2026-09-15T14:30", NO_OFFSET),
        ("2026-09-15T14:30:00.25", NO_OFFSET),
        ("2026-09-15", BARE_DATE),
        ("20266-09-15", BARE_DATE),
        ("2026-09-15 14:30:00 EDT", NOT_A_TIME),
        ("2026-09-15 14:30:00 Europe/Berlin", NOT_A_TIME),
        ("2026-09-15T14:30:00z", NOT_A_TIME),
        ("2026-09-15T14:30:00+2", NOT_A_TIME),
        ("2026-09-15T14:30.5Z", NOT_A_TIME),
        ("2026-09-15T14:30:00.1234567Z", NOT_A_TIME),
        ("2026-09-15T14Z", NOT_A_TIME),
        ("26-09-15T14:30:00Z", NOT_A_TIME),
        ("2026-9-15T14:30:00Z", NOT_A_TIME),
        ("15.09.2026 14:30:00Z", NOT_A_TIME),
        ("٢٠٢٦-09-15T14:30:00Z", NOT_A_TIME),
        ("yesterday", NOT_A_TIME),
        ("now", NOT_A_TIME),
        ("1789482600", NOT_A_TIME),
        ("", NOT_A_TIME),
        ("2026-09-15T14:30:00Z; DROP TABLE x", NOT_A_TIME),
        ("2026-02-30T14:30:00Z", NO_SUCH_DAY),
        ("2026-02-29T14:30:00Z", NO_SUCH_DAY),
        ("2026-13-01T14:30:00Z", NO_SUCH_DAY),
        ("2026-09-15T25:00:00Z", NO_SUCH_DAY),
        ("2026-09-15T24:00:00Z", NO_SUCH_DAY),
        ("2026-09-15T14:60:00Z", NO_SUCH_DAY),
        ("2026-09-15T14:30:60Z", NO_SUCH_DAY),
        ("20266-09-15T14:30:00Z", NO_SUCH_DAY),
        ("2026-09-15T14:30:00+24:00", NO_SUCH_DAY),
        ("2026-09-15T14:30:00+0160", NO_SUCH_DAY),
        ("0001-01-01T00:00:00+02:00", NO_SUCH_DAY),
        ("9999-12-31T23:59:59-02:00", NO_SUCH_DAY),
    ],
)
def test_anything_else_is_refused_with_the_form_to_use(text: str, message: str) -> None:
    with pytest.raises(InvalidValue, match=message) as refusal:
        parse_time(text)
    assert repr(text) in refusal.value.message
    assert "2026-09-15T14:30:00Z" in str(refusal.value)


def test_a_leap_day_exists_every_four_years() -> None:
    assert parse_time("2028-02-29T00:00:00Z").day == 29


def test_the_hint_for_a_bare_date_names_the_space_on_the_command_line() -> None:
    with pytest.raises(InvalidValue, match=r"HINT: on the command line, .* ends at a space: write T"):
        parse_time("2026-09-15")


@given(
    MOMENTS,
    st.integers(-14 * 60, 14 * 60),
)
def test_what_is_written_is_read_back_from_any_zone(moment: datetime, offset: int) -> None:
    local = moment.astimezone(timezone(timedelta(minutes=offset)))
    assert parse_time(format_time(local)) == moment
    assert parse_time(local.isoformat(timespec="microseconds")) == moment


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        (" 24h ", timedelta(days=1)),
        ("7 d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
        ("0h", timedelta(0)),
        ("9999999w", timedelta(weeks=9999999)),
    ],
)
def test_ages_have_a_unit(text: str, age: timedelta) -> None:
    assert parse_age(text) == age


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "24H", "1y", "1h30m", "10000000w", "٣h", "24h\x00"])
def test_an_age_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not an age; expected a number and one of s, m, h, d, w"):
        parse_age(text)


@pytest.mark.parametrize(("text", "number"), [("latest", None), ("1", 1), ("4294967295", 4294967295), ("007", 7)])
def test_a_timeline_is_latest_or_a_number(text: str, number: int | None) -> None:
    assert parse_timeline(text) == number


@pytest.mark.parametrize("text", ["", "0", "-1", "4294967296", "current", "Latest", "1 ", "0x2", "²", "٣"])
def test_a_timeline_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not a timeline; expected latest or a number from 1"):
        parse_timeline(text)


@pytest.mark.parametrize(
    ("time", "name", "message"),
    [(None, None, "no recovery target is given"), ("2026-09-15T14:30:00Z", "latest", "two recovery targets are given")],
)
def test_exactly_one_target_is_needed(time: str | None, name: str | None, message: str) -> None:
    with pytest.raises(InvalidValue, match=rf"{message}\nHINT: give exactly one of target_time .* and target=latest"):
        Target.parse(time, name, "latest", True)


def test_an_empty_time_is_not_the_end_of_the_wal() -> None:
    with pytest.raises(InvalidValue, match=NOT_A_TIME):
        Target.parse("", None, "latest", True)


@pytest.mark.parametrize(("inclusive", "setting"), [(True, "on"), (False, "off")])
def test_the_server_pauses_at_a_moment(inclusive: bool, setting: str) -> None:
    target = Target.parse("2026-09-15T16:30:00.25+02:00", None, "latest", inclusive)
    assert target.settings(3) == {
        "recovery_target_timeline": "3",
        "recovery_target_time": "2026-09-15 14:30:00.250000+00",
        "recovery_target_inclusive": setting,
        "recovery_target_action": "pause",
    }
    assert str(target) == "2026-09-15T14:30:00.250000Z"
    assert target.as_dict() == {"time": str(target), "inclusive": inclusive, "timeline": "latest"}


def test_the_end_of_the_wal_is_no_moment() -> None:
    target = Target.parse(None, "latest", "2", True)
    assert target.settings(2) == {"recovery_target_timeline": "2"}
    assert str(target) == "the end of the archived WAL"
    assert target.as_dict() == {"time": None, "inclusive": True, "timeline": 2}
