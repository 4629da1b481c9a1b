# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a fleet, whole where its layout matters: what is read at three in the morning must be right at once."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.pgark.postgres.plugins.filter import recovery_report
from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from ansible_collections.pgark.postgres.plugins.module_utils._values.times import parse_time
from ansible_collections.pgark.postgres.plugins.module_utils._windows.report import (
    WIDTH,
    askable,
    asked_target,
    fleet_report,
)
from tests.gates.setup import ROOT
from tests.unit.filter.results import DRAWN, FLEET, LONG, SHORT, found, reachable, unreachable, window

NOW = parse_time("2026-09-14T02:03:04.567Z")
BEFORE = "target 2026-09-13T14:30:00Z is before the end of backup 'monday'\nHINT: choose a later one"
FORK = "at that moment there was another timeline 1, which was left at 0/5000000; give target_timeline=1 for that"


def in_berlin(moment: datetime) -> datetime:
    return moment.astimezone(ZoneInfo("Europe/Berlin"))


def in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def report(fleet: dict[str, Any], target: Target | None = None) -> list[str]:
    return fleet_report(fleet, target, NOW, in_utc)


def text(fleet: dict[str, Any], target: Target | None = None) -> str:
    return "\n".join(report(fleet, target))


def test_the_whole_report() -> None:
    fleet = FLEET | {
        "berlin": FLEET["berlin"] | reachable(warnings=[FORK]),
        "lagos": FLEET["lagos"] | unreachable(BEFORE),
    }
    target = asked_target({"target_time": "2026-09-13T14:30:00Z"})
    assert (
        fleet_report(fleet, target, NOW, in_berlin)
        == """\
what can be restored, as of 2026-09-14T02:03:04Z (2026-09-14T04:03:04+02:00 here)

host    timeline  from                       until                      length       backups
berlin         1  2026-09-01T01:15:01Z       2026-09-14T02:00:00Z       13 d               2
                  2026-09-01T03:15:01+02:00  2026-09-14T04:00:00+02:00  segment 000000010000000000000009 is the last one
lagos          1  2026-09-14T01:15:01Z       2026-09-14T02:00:00Z       44 min 59 s        1
                  2026-09-14T03:15:01+02:00  2026-09-14T04:00:00+02:00  segment 000000010000000000000009 is the last one
quito   no repository: backup_repository_path is not set
sydney  unreachable: Failed to connect to the host via ssh: No route to host

can 2026-09-13T14:30:00Z (2026-09-13T16:30:00+02:00 here) be restored?
berlin  yes  from backup monday, replaying 83 segments of WAL (1.3 GB) on the way to timeline 1;
             about 11 min 50 s
             warning: at that moment there was another timeline 1, which was left at 0/5000000; give
             target_timeline=1 for that
lagos   no   target 2026-09-13T14:30:00Z is before the end of backup 'monday'
             HINT: choose a later one
quito   ?    not known: its repository was not read, see above
sydney  ?    not known: its repository was not read, see above

defects
lagos  gap: segment 000000010000000000000005 is missing

4 hosts, 2 with a recovery window; not read: quito, sydney""".splitlines()
    )


def test_the_documented_report_is_what_is_printed() -> None:
    page = (ROOT / "docs/windows-and-timelines.md").read_text()
    now = parse_time("2026-09-17T18:00:07Z")
    lines = fleet_report(DRAWN, asked_target({"target_time": "2026-09-17T14:45:00Z"}), now, in_berlin)
    assert "```\n" + "\n".join(lines) + "\n```\n" in page


def test_where_it_is_utc_no_time_is_written_twice() -> None:
    assert (
        report({"berlin": found(SHORT)})
        == """\
what can be restored, as of 2026-09-14T02:03:04Z

host    timeline  from                  until                 length       backups
berlin         1  2026-09-14T01:15:01Z  2026-09-14T02:00:00Z  44 min 59 s        1
                                                              segment 000000010000000000000009 is the last one

no defects found

1 host, 1 with a recovery window""".splitlines()
    )


def test_every_window_has_a_line_and_the_host_is_named_once() -> None:
    earlier = window("2026-09-01T00:00:00Z", "2026-09-02T00:00:00Z", 86400.0)
    later = window("2026-09-03T00:00:00Z", "2026-09-04T00:00:00Z", 86400.0, timeline=12)
    lines = report({"berlin": found(earlier, later)})
    assert lines[3].startswith("berlin         1  2026-09-01T00:00:00Z")
    assert lines[5].startswith("              12  2026-09-03T00:00:00Z")


def test_a_window_of_one_moment_has_no_length() -> None:
    one = window("2026-09-14T00:00:00Z", "2026-09-14T00:00:00Z", 0.0)
    assert re.fullmatch(r"a +1  (2026-09-14T00:00:00Z)  \1  a moment +1", report({"a": found(one)})[3])


def test_a_long_explanation_stays_in_its_place() -> None:
    damaged = window("2026-09-01T00:00:00Z", "2026-09-02T00:00:00Z", 86400.0, ends="word " * 30)
    lines = report({"berlin": found(damaged)})[4:-4]
    assert len(lines) > 1
    assert all(line.startswith(" " * 62 + "word") for line in lines)


@pytest.mark.parametrize("clock", ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"])
def test_local_times_are_told_apart_when_the_clocks_go_back(clock: str) -> None:
    lines = fleet_report({}, asked_target({"target_time": clock}), NOW, in_berlin)
    there = {"2026-10-25T00:30:00Z": "02:30:00+02:00", "2026-10-25T01:30:00Z": "02:30:00+01:00"}[clock]
    assert f"can {clock} (2026-10-25T{there} here) be restored?" in lines


def test_what_is_written_is_a_target_time() -> None:
    written = [word for row in fleet_report({"berlin": found(LONG)}, None, NOW, in_berlin)[3:5] for word in row.split()]
    moments = [parse_time(word) for word in written if "T" in word]
    assert moments[:2] == moments[2:] == [parse_time(LONG["since"]), parse_time("2026-09-14T02:00:00Z")]


@pytest.mark.parametrize(
    ("since", "until", "written"),
    [
        ("00.000001", "05.999999", ("01", "05")),
        ("00.000000", "05.000001", ("00", "05")),
        ("00.000000", "05.000000", ("00", "04")),
        ("00.000001", "01.000001", ("01", "01")),
        ("00.000001", "01.000000", ("00.000001", "00.999999")),
        ("00.100000", "00.900000", ("00.100000", "00.899999")),
        ("59.900000", "59.950000", ("59.900000", "59.949999")),
        ("07.500000", "07.500000", ("07.500000", "07.500000")),
    ],
)
def test_moments_are_rounded_into_the_window(since: str, until: str, written: tuple[str, str]) -> None:
    def moment(seconds: str) -> datetime:
        return parse_time(f"2026-09-14T02:00:{seconds}Z")

    assert askable(moment(since), moment(until)) == tuple(map(moment, written))


def test_a_second_that_is_rounded_up_carries_over() -> None:
    last = parse_time("2026-12-31T23:59:59.5Z")
    assert askable(last, last + timedelta(days=1))[0] == parse_time("2027-01-01T00:00:00Z")


TARGETS = {
    "transaction 7310": {"target_xid": 7310},
    "restore point 'before'": {"target_name": "before"},
    "LSN 0/3000028": {"target_lsn": "0/3000028"},
    "the end of the archived WAL": {"target": "latest"},
    "the end of the backup": {"target": "immediate"},
}


@pytest.mark.parametrize(("named", "options"), TARGETS.items())
def test_the_question_names_the_target(named: str, options: dict[str, Any]) -> None:
    empty = dict.fromkeys(("target_time", "target_xid", "target_name", "target_lsn", "target"), "")
    lines = report({"berlin": found(LONG, **reachable())}, asked_target(empty | options))
    assert f"can {named} be restored?" in lines


def test_one_segment_is_one() -> None:
    one = found(LONG, **reachable(segments=1, bytes=2**24, estimated_seconds=59.7))
    assert "replaying 1 segment of WAL (16 MB) on the way to timeline 1; about 1 min" in text({"a": one}, Target())


PROBLEMS = {
    "failed: a sentence": {"failed": True, "msg": "a sentence"},
    "unreachable: no route": {"unreachable": True, "failed": False, "msg": "no route\r\n"},
    "failed: no reason is known": {"failed": True},
    "unreachable: no reason is known": {"unreachable": True, "msg": " \n"},
    "no reason is known": {},
    "nothing: 0 backups, and no window": found(),
    "nothing: 1 backup, and no window": found(backups=[{}]),
}


@pytest.mark.parametrize(("said", "result"), PROBLEMS.items())
def test_a_host_without_a_window_is_named_with_the_reason(said: str, result: dict[str, Any]) -> None:
    assert f"berlin  {said}" in report({"berlin": result, "lagos": found(LONG)})


def test_what_a_restore_would_refuse_here_is_no_yes() -> None:
    lines = text(
        {"berlin": found(LONG, **reachable(refused="no room\nHINT: make some"))}, asked_target({"target": "latest"})
    )
    assert "berlin  no   backup " in lines
    assert " and its WAL are there, but a restore is refused here: no room\n" in lines
    assert "\n             HINT: make some\n" in lines


def test_a_long_reason_keeps_its_lines_and_its_place() -> None:
    reason = "the server said:\n\n" + "word " * 40 + "\nHINT: " + "x" * 120
    lines = report({"berlin": {"failed": True, "msg": reason}})[3:-2]
    assert lines[0] == "berlin  failed: the server said:"
    assert all(line.startswith("        ") for line in lines[1:])
    assert lines[-2:] == ["        HINT:", "        " + "x" * 120]
    assert max(map(len, lines[:-1])) <= WIDTH


def test_a_very_long_name_leaves_room_for_the_reason() -> None:
    lines = report({"a" * 120: {"failed": True, "msg": "word " * 18}})
    assert len([line for line in lines if "word word" in line]) == 2


def test_where_nothing_was_read_no_defects_are_neither_found_nor_missed() -> None:
    assert "defects" not in text({"quito": FLEET["quito"], "sydney": FLEET["sydney"]})


def test_no_host_at_all_is_no_error() -> None:
    assert report({})[-1] == "0 hosts, 0 with a recovery window"


@pytest.mark.parametrize("options", [{}, {"target_time": "", "target_xid": None, "backup_label": "monday"}])
def test_nothing_given_is_no_question(options: dict[str, Any]) -> None:
    assert asked_target(options) is None


def test_how_the_target_is_meant_is_read() -> None:
    options = {"target_xid": "7310", "target_inclusive": False, "target_timeline": 3}
    assert asked_target(options) == Target("xid", 7310, False, 3)


REFUSED = [
    ({"target_time": "2026-09-15"}, "is a date without a time"),
    ({"target_time": "2026-09-15T14:30:00Z", "target": "latest"}, "2 recovery targets are given: target_time, target"),
    ({"target_xid": "7e3"}, "target_xid '7e3' is not the number of a transaction"),
    ({"target_lsn": "3000028"}, "target_lsn '3000028' is not an LSN"),
    ({"target": "yesterday"}, "there is no target=yesterday; expected latest or immediate"),
    ({"target": "latest", "target_timeline": "newest"}, "target_timeline 'newest' is not a timeline"),
]


@pytest.mark.parametrize(("options", "complaint"), REFUSED)
def test_what_is_no_target_is_a_problem(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidValue, match=complaint):
        asked_target(options)


@pytest.mark.parametrize(("options", "complaint"), REFUSED)
def test_the_filter_refuses_what_is_no_target(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(AnsibleFilterError, match=complaint):
        recovery_report.recovery_report(FLEET, options)


def test_the_filter_writes_the_time_of_now_and_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    heading = recovery_report.recovery_report(FLEET)[0]
    monkeypatch.undo()
    time.tzset()
    written, here = heading.removeprefix("what can be restored, as of ").removesuffix(" here)").split(" (")
    assert parse_time(written) == parse_time(here)
    assert here.endswith("+14:00")
    assert abs(datetime.now(UTC) - parse_time(written)) < timedelta(minutes=1)


def test_the_filter_refuses_what_is_no_dictionary() -> None:
    with pytest.raises(AnsibleFilterError, match="got list, expected a dictionary"):
        recovery_report.recovery_report([])


def test_the_filter_is_found_by_its_name() -> None:
    assert recovery_report.FilterModule().filters() == {"recovery_report": recovery_report.recovery_report}


def serving(**server: Any) -> dict[str, Any]:
    usual = {"in_recovery": False, "paused": False, "restoring": None, "archives": True}
    return found() | {"server": usual | {"cluster": "main", "repository_id": "5e7b"} | server}


def test_two_servers_that_archive_under_one_name_are_told_of_each_other() -> None:
    fleet = {
        "a": serving(),
        "b": serving(),
        "standby": serving(in_recovery=True),
        "idle": serving(archives=False),
        "another name": serving(cluster="other"),
        "another repository": serving(repository_id="77aa"),
    }
    said = " ".join(text(fleet).split())
    assert "a archives as 'main' into the same repository as b: what one of them archives" in said
    assert "b archives as 'main' into the same repository as a: what one of them archives" in said
    assert said.count("into the same repository as") == 2


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({"in_recovery": True, "paused": True, "restoring": "time 2026-09-13T14:30:00Z"}, "pitr_finalize.yml opens it"),
        ({"in_recovery": True, "restoring": "latest"}, "recovering in a restore to latest; nothing is archived until"),
        ({"in_recovery": True, "paused": True}, None),  # a standby whose replay a person has paused
        ({"restoring": None}, None),
    ],
)
def test_a_cluster_in_the_middle_of_a_restore_is_told(server: dict[str, Any], expected: str | None) -> None:
    said = " ".join(text({"berlin": serving(**server)}).split())
    assert ("nothing is archived until" in said) == (expected is not None)
    assert expected is None or expected in said
