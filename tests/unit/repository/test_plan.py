# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from any state of a repository to the wanted one, or the reason why it is not touched."""

from dataclasses import replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._plan.plan import MakeDirectory, SetAccess, WriteDocument
from ansible_collections.pgark.postgres.plugins.module_utils._repository.cluster_document import as_document
from ansible_collections.pgark.postgres.plugins.module_utils._repository.layout import Layout
from ansible_collections.pgark.postgres.plugins.module_utils._repository.plan import (
    Entry,
    Found,
    RetireCluster,
    plan_repository,
)
from tests.unit.examples import IDENTITY

LAYOUT = Layout("/srv/pgark", "main")
MARKER = {"format": 1, "id": "an-id"}
DIRECTORIES = (LAYOUT.repository, LAYOUT.directory, LAYOUT.backups, LAYOUT.wal)
FILES = (LAYOUT.marker, LAYOUT.identity)
ACCESS = ("postgres", "backup", 0o750)
NOTHING = Found({}, None, None, False)
COMPLETE = Found(
    {
        **{path: Entry("directory", 0o750, "postgres", "backup") for path in DIRECTORIES},
        **{path: Entry("file", 0o640, "postgres", "backup") for path in FILES},
    },
    MARKER,
    IDENTITY,
    True,
)


def with_entry(path: str, entry: Entry) -> Found:
    return replace(COMPLETE, entries={**COMPLETE.entries, path: entry})


def test_an_empty_place_becomes_a_repository_marked_before_anything_is_below_it() -> None:
    plan = plan_repository(LAYOUT, NOTHING, IDENTITY, ACCESS, "new-id")
    assert plan.steps == (
        MakeDirectory("/srv/pgark", 0o750, "backup"),
        WriteDocument("/srv/pgark/repository.json", {"format": 1, "id": "new-id"}, 0o640, "backup"),
        MakeDirectory("/srv/pgark/main", 0o750, "backup"),
        WriteDocument("/srv/pgark/main/cluster.json", as_document(IDENTITY), 0o640, "backup"),
        MakeDirectory("/srv/pgark/main/backup", 0o750, "backup"),
        MakeDirectory("/srv/pgark/main/wal", 0o750, "backup"),
    )
    assert plan.before == {}
    assert plan.after["/srv/pgark"] == "directory 0750 postgres:backup"
    assert plan.after["/srv/pgark/repository.json"] == "file 0640 postgres:backup"


def test_a_complete_repository_is_left_alone() -> None:
    plan = plan_repository(LAYOUT, COMPLETE, IDENTITY, ACCESS, "new-id")
    assert not plan.changed
    assert plan.before == plan.after


@pytest.mark.parametrize("done", range(6))
def test_an_interrupted_run_is_continued(done: int) -> None:
    whole = plan_repository(LAYOUT, NOTHING, IDENTITY, ACCESS, "new-id").steps
    paths = [step.path for step in whole[:done]]
    found = Found(
        {path: COMPLETE.entries[path] for path in paths},
        MARKER if LAYOUT.marker in paths else None,
        IDENTITY if LAYOUT.identity in paths else None,
        LAYOUT.directory in paths,
    )
    assert plan_repository(LAYOUT, found, IDENTITY, ACCESS, "new-id").steps == whole[done:]


def test_an_existing_marker_keeps_its_id() -> None:
    other_cluster = Layout(LAYOUT.repository, "other")
    plan = plan_repository(other_cluster, replace(COMPLETE, identity=None), IDENTITY, ACCESS, "new-id")
    assert [step.path for step in plan.steps] == [
        other_cluster.directory,
        other_cluster.identity,
        other_cluster.backups,
        other_cluster.wal,
    ]


@pytest.mark.parametrize("path", [*DIRECTORIES, *FILES])
def test_access_that_is_too_wide_or_of_another_group_is_repaired(path: str) -> None:
    right = COMPLETE.entries[path]
    step = SetAccess(path, right.mode, "backup")
    for wrong in (replace(right, mode=right.mode | 0o007), replace(right, group="users")):
        plan = plan_repository(LAYOUT, with_entry(path, wrong), IDENTITY, ACCESS, "new-id")
        assert plan.steps == (step,)
        assert plan.before[path] != plan.after[path]
        assert plan.after[path].endswith("postgres:backup")


def test_a_group_that_is_not_named_is_left() -> None:
    plan = plan_repository(
        LAYOUT,
        with_entry(LAYOUT.wal, Entry("directory", 0o750, "postgres", "users")),
        IDENTITY,
        ("postgres", None, 0o750),
        "x",
    )
    assert not plan.changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wal_segment_size": 64 << 20}, "segments of 16777216 bytes .* segments of 67108864 bytes"),
        ({"version": 180000}, "bytes of PostgreSQL 17, and .* bytes of PostgreSQL 18"),
    ],
)
def test_what_has_become_another_cluster_does_not_go_on_in_the_same_place(change: dict[str, int], words: str) -> None:
    """Neither pg_upgrade nor anything else keeps the system identifier: only pg_resetwal changes the size."""
    with pytest.raises(Error, match=rf"/srv/pgark/main holds WAL .*{words}.*\nHINT: .*new name in the repository"):
        plan_repository(LAYOUT, COMPLETE, replace(IDENTITY, **change), ACCESS, "x")


def test_a_directory_of_something_else_is_not_made_a_repository() -> None:
    found = Found({LAYOUT.repository: Entry("directory", 0o750, "postgres", "backup")}, None, None, True)
    with pytest.raises(Error, match=r"/srv/pgark is not empty and has no repository.json.*\nHINT: .*mount it first"):
        plan_repository(LAYOUT, found, IDENTITY, ACCESS, "x")


def test_another_clusters_place_is_refused() -> None:
    foreign = replace(COMPLETE, identity=replace(IDENTITY, system_identifier="1", version=150000))
    with pytest.raises(Error, match=r"system identifier 1 \(PostgreSQL 15\), this one has 7301234567890123456\nHINT: "):
        plan_repository(LAYOUT, foreign, IDENTITY, ACCESS, "x")


def test_another_clusters_place_is_kept_under_another_name_when_that_is_wanted() -> None:
    foreign = replace(COMPLETE, identity=replace(IDENTITY, system_identifier="1"))
    plan = plan_repository(LAYOUT, foreign, IDENTITY, ACCESS, "x", retire=True)
    first, *rest = plan.steps
    assert first == RetireCluster(LAYOUT.directory, f"{LAYOUT.directory}.retired-1")
    own = [LAYOUT.directory, LAYOUT.identity, LAYOUT.backups, LAYOUT.wal]
    assert [getattr(step, "path", "") for step in rest] == own
    assert plan.before == plan_repository(LAYOUT, COMPLETE, IDENTITY, ACCESS, "x").before
    assert not plan_repository(LAYOUT, COMPLETE, IDENTITY, ACCESS, "x", retire=True).changed
    with pytest.raises(Error, match=r"backup_repository_retire=true keeps what is there as main\.retired-1"):
        plan_repository(LAYOUT, foreign, IDENTITY, ACCESS, "x")


@pytest.mark.parametrize(
    ("path", "entry", "message"),
    [
        (LAYOUT.wal, Entry("link", 0o777, "postgres", "backup"), "wal is a link, expected a directory"),
        (LAYOUT.repository, Entry("file", 0o640, "postgres", "backup"), "/srv/pgark is a file, expected a directory"),
        (LAYOUT.marker, Entry("link", 0o777, "postgres", "backup"), "repository.json is a link, expected a file"),
        (
            LAYOUT.identity,
            Entry("directory", 0o750, "postgres", "backup"),
            "cluster.json is a directory, expected a fil",
        ),
        (LAYOUT.backups, Entry("other", 0o640, "postgres", "backup"), "backup is a other, expected a directory"),
        (
            LAYOUT.wal,
            Entry("directory", 0o750, "root", "backup"),
            "wal belongs to root, expected postgres\nHINT: where no other host or cluster uses it, as root: chown",
        ),
        (
            LAYOUT.repository,
            Entry("directory", 0o750, "998", "backup"),
            "/srv/pgark belongs to 998, expected postgres\nHINT: no user of this host has the number 998: where hosts",
        ),
    ],
)
def test_what_should_not_be_there_is_refused(path: str, entry: Entry, message: str) -> None:
    with pytest.raises(Error, match=message):
        plan_repository(LAYOUT, with_entry(path, entry), IDENTITY, ACCESS, "x")
