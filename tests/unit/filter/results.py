# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of backup_info, made up for the filters that read them."""

from typing import Any

LAST = "000000010000000000000009"
ENDS = f"segment {LAST} is the last one"


def backup(label: str, stop_time: str, problem: str | None = None) -> dict[str, Any]:
    """Return an entry of `backups` with what the filters read of it."""
    usable = problem is None
    return {"label": label, "stop_time": stop_time, "stored_size": 2**30, "usable": usable, "problem": problem}


def window(since: str, until: str, seconds: float, *labels: str, timeline: int = 1, ends: str = ENDS) -> dict[str, Any]:
    """Return an entry of `windows`."""
    return {
        "timeline": timeline,
        "backups": list(labels or ("monday",)),
        "since": since,
        "until": until,
        "since_lsn": "0/3000120",
        "until_lsn": "0/9000028",
        "seconds": seconds,
        "last_segment": LAST,
        "missing": None,
        "ends": ends,
    }


def found(*windows: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a result without defects, and with one backup for each label in the windows."""
    labels = dict.fromkeys(label for each in windows for label in each["backups"])
    backups = [backup(label, "2026-09-14T01:15:01.000000Z") for label in labels]
    return {"backups": backups, "wal": [], "latest_timeline": 1, "windows": list(windows), "defects": [], **more}


def reachable(**more: Any) -> dict[str, Any]:
    """Return what backup_info adds for a target that can be reached."""
    return {
        "reachable": True,
        "chosen": "monday",
        "timeline": 1,
        "lsn": "0/9000028",
        "segments": 83,
        "bytes": 83 * 2**24,
        "estimated_seconds": 710.0,
        "reason": None,
        "warnings": [],
    } | more


def unreachable(reason: str) -> dict[str, Any]:
    """Return what backup_info adds for a target that cannot be reached."""
    nothing = dict.fromkeys(("chosen", "timeline", "lsn", "segments", "bytes", "estimated_seconds"))
    return {"reachable": False, "reason": reason, "warnings": [], **nothing}


LONG = window("2026-09-01T01:15:01.000000Z", "2026-09-14T02:00:00.750000Z", 13 * 86400, "monday", "tuesday")
SHORT = window("2026-09-14T01:15:01.000000Z", "2026-09-14T02:00:00.250000Z", 2699.25, "monday")
GAP = {"kind": "gap", "subject": "000000010000000000000005", "text": "segment 000000010000000000000005 is missing"}
FLEET = {
    "berlin": found(LONG),
    "lagos": found(
        SHORT,
        backups=[
            backup("monday", "2026-09-14T01:15:01.000000Z"),
            backup("newer", "2026-09-15T01:15:01.000000Z", "its parent 'sunday' is missing"),
        ],
        defects=[GAP],
    ),
    "quito": {"msg": "no repository: backup_repository_path is not set"},
    "sydney": {"unreachable": True, "msg": "Failed to connect to the host via ssh: No route to host"},
}


# What docs/windows-and-timelines.md draws, for the report that it shows; lagos and the others are not in the drawing.
MONDAY = "2026-09-14T01:00:41.500000Z"
WEDNESDAY = "2026-09-16T01:00:43.250000Z"
BRANCH_WARNING = (
    "at 2026-09-17T14:45:00.000000Z the cluster was on timeline 1, which timeline 2 left at 0/8F000148, after "
    "2026-09-17T14:29:58.120000Z: what was committed there later is not in the result. To restore it, use "
    "target_timeline=1"
)
DRAWN = {
    "berlin": found(
        window(
            WEDNESDAY,
            "2026-09-17T15:09:58Z",
            137354.75,
            "wednesday",
            ends="segment 0000000100000000000000A2 is the last one",
        ),
        window(
            MONDAY,
            "2026-09-15T09:11:31.750000Z",
            115850.25,
            timeline=2,
            ends="segment 000000010000000000000037 is missing",
        ),
        window(
            WEDNESDAY,
            "2026-09-17T18:00:03.250000Z",
            147560.0,
            "wednesday",
            timeline=2,
            ends="the server is running, and writes segment 0000000200000000000000A9",
        ),
        defects=[
            GAP | {"text": "2 segments from 000000010000000000000037 to 000000010000000000000038 are missing"},
        ],
        **reachable(
            chosen="wednesday",
            timeline=2,
            segments=83,
            bytes=83 * 2**24,
            estimated_seconds=425.0,
            warnings=[BRANCH_WARNING],
        ),
    ),
    "lagos": found(
        window(
            "2026-09-10T01:01:12.000000Z",
            "2026-09-17T17:58:40.000001Z",
            665848.0,
            *map(str, range(8)),
            ends="segment 00000001000000040000001C is the last one",
        ),
        **reachable(chosen="20260917T010000Z-full", segments=412, bytes=412 * 2**24, estimated_seconds=1290.0),
    ),
    "quito": {"msg": "no repository for cluster quito in /srv/pgark"},
    "sydney": {"unreachable": True, "msg": "Failed to connect to the host via ssh: No route to host"},
}
