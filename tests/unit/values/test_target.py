# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A target says exactly one thing, or is refused with the form to use."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import (
    STOPS,
    TARGETS,
    Target,
    parse_name,
    parse_timeline,
    parse_xid,
)
from ansible_collections.pgark.postgres.plugins.module_utils._values.times import format_time, parse_age, parse_time
from tests.unit.examples import MOMENTS

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


@pytest.mark.parametrize(
    ("text", "timeline"),
    [("latest", None), ("current", "current"), ("1", 1), ("4294967295", 4294967295), ("007", 7)],
)
def test_a_timeline_is_latest_current_or_a_number(text: str, timeline: int | str | None) -> None:
    assert parse_timeline(text) == timeline


@pytest.mark.parametrize("text", ["", "0", "-1", "4294967296", "Current", "Latest", "1 ", "0x2", "²", "٣"])
def test_a_timeline_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not a timeline; expected latest, current or a number from 1"):
        parse_timeline(text)


def options(**given: Any) -> dict[str, Any]:
    """Give the options of a task as Ansible does: those that are not given are None, or have their default."""
    return {**dict.fromkeys(TARGETS), "target_inclusive": True, "target_timeline": "latest", **given}


FORMS = r"HINT: give exactly one of target_time \(2026-09-15T14:30:00Z or .*\), target_xid .* and target=immediate"


def test_a_target_is_needed() -> None:
    with pytest.raises(InvalidValue, match=rf"^no recovery target is given\n{FORMS}"):
        Target.parse(options())


@pytest.mark.parametrize("pair", list(combinations(TARGETS, 2)), ids="-".join)
def test_two_targets_are_refused_by_name(pair: tuple[str, str]) -> None:
    with pytest.raises(
        InvalidValue, match=rf"^2 recovery targets are given: {pair[0]}, {pair[1]}; expected one\n{FORMS}"
    ):
        Target.parse(options(**dict.fromkeys(pair, "latest")))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("target_time", NOT_A_TIME),
        ("target_xid", "is not the number of a transaction"),
        ("target_name", "is not the name of a restore point"),
        ("target_lsn", "is not an LSN"),
    ],
)
def test_an_empty_target_is_not_the_end_of_the_wal(option: str, message: str) -> None:
    with pytest.raises(InvalidValue, match=rf"{option} '' {message}"):
        Target.parse(options(**{option: ""}))


MOMENT = "2026-09-15T14:30:00.250000Z"


def in_order(target: Target, timeline: int) -> list[tuple[str, str]]:
    """Give the settings in the order in which they are written, which matters to the server."""
    return list(target.settings(timeline).items())


@pytest.mark.parametrize(
    ("option", "text", "kind", "value", "setting", "shown"),
    [
        ("target_time", "2026-09-15T16:30:00.25+02:00", "time", MOMENT, "2026-09-15 14:30:00.250000+00", MOMENT),
        ("target_xid", "7310", "xid", "7310", "7310", "transaction 7310"),
        ("target_xid", " 4294974606 ", "xid", "4294974606", "7310", "transaction 4294974606"),
        ("target_lsn", "0/a030000", "lsn", "0/A030000", "0/A030000", "LSN 0/A030000"),
    ],
)
@pytest.mark.parametrize(("inclusive", "switch"), [(True, "on"), (False, "off")])
def test_the_server_pauses_where_it_stops(
    option: str, text: str, kind: str, value: str, setting: str, shown: str, inclusive: bool, switch: str
) -> None:
    target = Target.parse(options(**{option: text, "target_inclusive": inclusive}))
    assert in_order(target, 3) == [
        *((name, "") for name in STOPS if name != f"recovery_target_{kind}"),
        (f"recovery_target_{kind}", setting),
        ("recovery_target_inclusive", switch),
        ("recovery_target_timeline", "3"),
        ("recovery_target_action", "pause"),
    ]
    assert str(target) == shown
    assert target.as_dict() == {"kind": kind, "value": value, "inclusive": inclusive, "timeline": "latest"}


@pytest.mark.parametrize(
    ("given", "setting", "value", "shown"),
    [
        (
            {"target_name": "before the release"},
            "recovery_target_name",
            "before the release",
            "restore point 'before the release'",
        ),
        ({"target": "immediate"}, "recovery_target", None, "the end of the backup"),
    ],
)
@pytest.mark.parametrize("inclusive", [True, False])
def test_where_inclusive_means_nothing_it_is_one_and_the_same_target(
    given: dict[str, str], setting: str, value: str | None, shown: str, inclusive: bool
) -> None:
    target = Target.parse(options(**given, target_inclusive=inclusive, target_timeline="2"))
    assert in_order(target, 2) == [
        *((name, "") for name in STOPS if name != setting),
        (setting, value or "immediate"),
        ("recovery_target_inclusive", "on"),
        ("recovery_target_timeline", "2"),
        ("recovery_target_action", "pause"),
    ]
    assert str(target) == shown
    assert target.as_dict() == {"kind": target.kind, "value": value, "inclusive": True, "timeline": 2}


def test_the_end_of_the_wal_is_nothing_to_pause_at() -> None:
    target = Target.parse(options(target="latest", target_timeline="current"))
    assert in_order(target, 2)[: len(STOPS) + 1] == [
        *((name, "") for name in STOPS),
        ("recovery_target_inclusive", "on"),
    ]
    assert str(target) == "the end of the archived WAL"
    assert target.time is None
    assert target.as_dict() == {"kind": "latest", "value": None, "inclusive": True, "timeline": "current"}


@pytest.mark.parametrize(
    "text", ["2", "0", "4294967296", "4294967298", "18446744073709551616", "-5", "7.0", "0x3", "٣", "x"]
)
def test_a_transaction_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(
        InvalidValue, match="is not the number of a transaction; expected a number from 3, such as 7310"
    ):
        parse_xid(text)


@pytest.mark.parametrize(
    ("text", "number"), [("3", 3), ("4294967295", 4294967295), ("18446744073709551615", 18446744073709551615)]
)
def test_a_transaction_may_have_a_long_number(text: str, number: int) -> None:
    assert parse_xid(text) == number


@pytest.mark.parametrize("text", ["x", "x" * 63, "ü" * 31, 'it\'s 100% \\ "so"'])
def test_a_restore_point_has_almost_any_name(text: str) -> None:
    assert parse_name(text) == text


@pytest.mark.parametrize("text", [" ", "x" * 64, "ü" * 32, "a\nb", "a\x00b", "a\x1bb"])
def test_a_name_that_the_server_would_not_keep_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="expected 1 to 63 bytes of printable characters"):
        parse_name(text)


@pytest.mark.parametrize("text", ["0/", "3000028", "0/3000028/1", "0/300002800", "G/0", "0x0/3"])
def test_a_malformed_position_is_refused_with_the_form_to_use(text: str) -> None:
    with pytest.raises(
        InvalidValue, match=r"target_lsn '.*' is not an LSN; expected two hexadecimal numbers such as 0/3000028"
    ):
        Target.parse(options(target_lsn=text))


def test_a_year_of_few_digits_is_written_with_four() -> None:
    moment = datetime(1, 1, 1, tzinfo=UTC)
    assert format_time(moment) == "0001-01-01T00:00:00.000000Z"
    assert parse_time(format_time(moment)) == moment
