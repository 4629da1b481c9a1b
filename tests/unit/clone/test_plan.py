# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a clone may go, what it must not reach for, and where its tablespaces go."""

from dataclasses import replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._clone.plan import (
    check_clone_directory,
    check_configuration,
    check_places,
    check_source,
    clone_settings,
    last_segment,
    placed,
    settings_in_place,
    socket_settings,
    with_checks,
)
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import (
    DataDirectory,
    Place,
    RestoreRecord,
    RestoreRequest,
)
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.steps import (
    CheckConfiguration,
    check_effective,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error, InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._plan.plan import MakeDirectory, Plan, SetAccess
from ansible_collections.pgark.postgres.plugins.module_utils._restore.fitting import RaiseSettings
from ansible_collections.pgark.postgres.plugins.module_utils._restore.plan import FinishStaging, RestoreConfiguration
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn, TimelinePath
from ansible_collections.pgark.postgres.plugins.module_utils._windows.choice import Choice
from tests.unit import examples
from tests.unit.examples import IDENTITY

PATH = "/srv/clone"
OURS = IDENTITY.system_identifier
RECORD = RestoreRecord(Target().as_dict(), "monday", "db1", OURS, f"{PATH}.before-x", source="db1")
DETACHED = replace(RECORD, identity="1001")
STAMPED = "20261121T011500Z"
BACKUP = replace(examples.BACKUP, tablespaces={"16384": "/srv/fast", "16385": f"/srv/slow.restored-{STAMPED}"})


def directory(kind: str, identifier: str | None = None, record: RestoreRecord | None = None) -> DataDirectory:
    return DataDirectory(PATH, PATH, kind, system_identifier=identifier, record=record)


@pytest.mark.parametrize(
    "place",
    [
        directory("missing"),
        directory("empty"),
        directory("cluster", OURS, RECORD),
        directory("cluster", OURS, DETACHED),
        directory("cluster", "1001", DETACHED),
        directory("unfinished", OURS, RECORD),
    ],
    ids=["missing", "empty", "earlier clone", "half detached", "detached", "interrupted switch"],
)
def test_a_clone_goes_where_nothing_is_or_an_earlier_one(place: DataDirectory) -> None:
    check_clone_directory(place, IDENTITY, "db1", force=False)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("place", "message"),
    [
        (directory("cluster", OURS), "holds 'db1' itself, or a copy of it, and no clone"),
        (directory("cluster", OURS, replace(RECORD, source=None)), "holds 'db1' itself"),
        (directory("unfinished", OURS, replace(RECORD, source=None)), "holds 'db1' itself"),
        (directory("cluster", OURS, replace(RECORD, source="db2")), "holds 'db1' itself"),
        (directory("cluster", "73"), "holds another cluster: its system identifier is 73"),
        (directory("cluster", "73", DETACHED), "holds another cluster"),
        (directory("cluster", "1001", replace(DETACHED, source="db2")), "holds another cluster"),
    ],
)
def test_a_clone_never_replaces_a_cluster(place: DataDirectory, message: str, force: bool) -> None:
    with pytest.raises(Error, match=message):
        check_clone_directory(place, IDENTITY, "db1", force)


def test_what_is_no_data_directory_is_replaced_by_a_clone_only_when_forced() -> None:
    with pytest.raises(Error, match="is not empty and is not a PostgreSQL data directory"):
        check_clone_directory(directory("unknown"), IDENTITY, "db1", force=False)
    check_clone_directory(directory("unknown"), IDENTITY, "db1", force=True)


def test_a_clone_without_identity_is_not_taken_for_its_source() -> None:
    with pytest.raises(Error, match=r"holds a clone of 'db1' .*\nHINT: give source_cluster=db1"):
        check_clone_directory(directory("cluster", OURS, RECORD), IDENTITY, None, force=True)


def test_a_cluster_is_restored_in_place_as_ever() -> None:
    check_clone_directory(directory("cluster", OURS), IDENTITY, None, force=False)
    check_clone_directory(directory("cluster", OURS, replace(RECORD, source=None)), IDENTITY, None, force=False)
    # That has become a cluster of its own, with backups of its own.
    own = replace(IDENTITY, system_identifier="1001")
    check_clone_directory(directory("cluster", "1001", DETACHED), own, None, force=False)
    with pytest.raises(Error, match="holds another cluster"):
        check_clone_directory(directory("cluster", "73"), IDENTITY, None, force=False)


def test_a_cluster_is_no_clone_of_itself() -> None:
    check_source("db1", "copy")
    check_source(None, "db1")
    with pytest.raises(InvalidValue, match="source_cluster is 'db1', which is the cluster itself"):
        check_source("db1", "db1")


def test_in_place_a_cluster_gets_what_this_machine_needs() -> None:
    wanted = {"shared_buffers": "1GB", "shared_preload_libraries": ""}
    assert settings_in_place(wanted) == wanted
    with pytest.raises(InvalidValue, match="names archive_mode, which a cluster that is restored in place has from"):
        settings_in_place({"Archive_Mode": "off"})
    for refused in (settings_in_place, lambda extra: clone_settings(17, extra, None)):
        with pytest.raises(InvalidValue, match="names recovery_target_time, which a restore itself writes"):
            refused({"recovery_target_time": "now"})


KEPT = {
    "archive_mode": "off",
    "archive_command": "",
    "primary_conninfo": "",
    "primary_slot_name": "",
    "synchronous_standby_names": "",
    "max_logical_replication_workers": "0",
}
OWN = {"external_pid_file": "", "log_directory": "log"}


@pytest.mark.parametrize(
    ("major", "inside", "expected"),
    [
        (14, None, KEPT),
        (15, None, {**KEPT, "archive_library": ""}),
        (17, {"port": "5433"}, {**KEPT, "archive_library": "", **OWN, "port": "5433"}),
        (14, {"port": "5433"}, {**KEPT, **OWN, "stats_temp_directory": "pg_stat_tmp", "port": "5433"}),
    ],
)
def test_a_clone_reaches_for_nothing_of_its_source(
    major: int, inside: dict[str, str] | None, expected: dict[str, str]
) -> None:
    assert clone_settings(major, {}, inside) == expected


def test_what_is_given_goes_before_what_is_assumed() -> None:
    found = clone_settings(17, {"port": "6000", "ssl": "off"}, {"port": "5433", "unix_socket_directories": '"/run"'})
    assert (found["port"], found["ssl"], found["unix_socket_directories"]) == ("6000", "off", '"/run"')


@pytest.mark.parametrize("name", ["archive_mode", "ARCHIVE_COMMAND", "archive_library"])
def test_archiving_cannot_be_given_to_a_clone(name: str) -> None:
    with pytest.raises(InvalidValue, match=f"settings names {name.lower()}"):
        clone_settings(17, {name: "on"}, None)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("work mem", "4MB", "'work mem' is not the name of a setting"),
        ("x = 1\narchive_mode", "on", "is not the name of a setting"),
        ("", "on", "'' is not the name of a setting"),
        ("work_mem", "4MB'\narchive_mode = 'on", "the value of work_mem has a line break"),
    ],
)
def test_what_would_be_more_than_a_setting_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        clone_settings(17, {name: value}, None)
    assert clone_settings(17, {"auto_explain.log_min_duration": "1s"}, None)["auto_explain.log_min_duration"] == "1s"


@pytest.mark.parametrize(
    ("directory", "written"),
    [
        (None, {"port": "5433"}),
        ("/srv/a b", {"port": "5433", "unix_socket_directories": '"/srv/a b"'}),
        ('/srv/"q"', {"port": "5433", "unix_socket_directories": '"/srv/""q"""'}),
    ],
)
def test_a_server_is_put_where_the_modules_look_for_it(directory: str | None, written: dict[str, str]) -> None:
    assert socket_settings(5433, directory) == written


@pytest.mark.parametrize(
    ("present", "mapping", "expected"),
    [
        ({}, {}, dict(BACKUP.tablespaces)),
        ({}, {"/srv/fast": "/new/fast"}, {**BACKUP.tablespaces, "16384": "/new/fast"}),
        ({}, {"/srv/fast/": "/new/fast/"}, {**BACKUP.tablespaces, "16384": "/new/fast"}),
        ({}, {"/srv/slow": "/new/slow"}, {**BACKUP.tablespaces, "16385": "/new/slow"}),
        ({}, {f"/srv/slow.restored-{STAMPED}": "/new/slow"}, {**BACKUP.tablespaces, "16385": "/new/slow"}),
        ({"16384": "/here/a"}, {}, {**BACKUP.tablespaces, "16384": "/here/a"}),
        ({"16384": "/here/a"}, {"/srv/fast": "/new/fast"}, {**BACKUP.tablespaces, "16384": "/new/fast"}),
        (
            {"16384": f"/new/fast.restored-{STAMPED}"},
            {"/srv/fast": "/new/fast"},
            {**BACKUP.tablespaces, "16384": f"/new/fast.restored-{STAMPED}"},
        ),
        (
            {"16384": f"/new/fast/pgark-{STAMPED}-1f2e3d4c"},
            {"/srv/fast": "/new/fast"},
            {**BACKUP.tablespaces, "16384": f"/new/fast/pgark-{STAMPED}-1f2e3d4c"},
        ),
        ({"999": "/here/dropped"}, {}, dict(BACKUP.tablespaces)),
    ],
)
def test_a_tablespace_goes_where_it_is_mapped_to_or_where_it_is(
    present: dict[str, str], mapping: dict[str, str], expected: dict[str, str]
) -> None:
    paths, new = placed(BACKUP, {oid: Place(path) for oid, path in present.items()}, mapping)
    assert paths == expected
    assert new == {oid for oid, path in paths.items() if path in {target.rstrip("/") for target in mapping.values()}}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            {"/srv/typo": "/new"},
            "names /srv/typo, where backup 'monday' has no tablespace; it has: /srv/fast",
        ),
        ({"/srv/fast": "relative"}, "the new path in tablespace_mapping 'relative' is not usable"),
        ({"/srv/fast": "/a/../b"}, "is not usable"),
        ({"/srv/fast": "/new", "/srv/slow": "/new/"}, "gives /new to two tablespaces"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(mapping: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        placed(BACKUP, {}, mapping)


def test_a_mapping_for_a_backup_without_tablespaces_is_refused() -> None:
    with pytest.raises(InvalidValue, match="it has: none"):
        placed(examples.BACKUP, {}, {"/srv/fast": "/new"})


def settled(**paths: str) -> DataDirectory:
    places = {oid: Place(path) for oid, path in {**BACKUP.tablespaces, **paths}.items()}
    return replace(directory("missing"), tablespaces=places)


def test_all_places_that_cannot_be_made_are_named() -> None:
    check_places(settled(), BACKUP, [])
    with pytest.raises(Error, match=rf"is there: /new/fast \(for /srv/fast\), /srv/slow.restored-{STAMPED}\nHINT: map"):
        check_places(settled(**{"16384": "/new/fast"}), BACKUP, ["16385", "16384"])


def test_what_lies_in_an_old_place_would_be_removed_with_it() -> None:
    """Nothing goes into the place of a tablespace; where nothing can be made beside one, it is said what to do."""
    with pytest.raises(Error, match=r"/new/fast, into which a tablespace is to go, is the place of"):
        check_places(settled(**{"16384": "/new/fast"}), BACKUP, [], holding=["16384"])
    confined = {oid: replace(place, confined=True) for oid, place in settled().tablespaces.items()}
    message = r"above /srv/fast cannot be written.*\nHINT: have root make /srv/fast.restored .*-o OWNER /srv/fast"
    with pytest.raises(Error, match=message):
        check_places(replace(settled(), tablespaces=confined), BACKUP, ["16384"], present=["16384"])
    with pytest.raises(Error, match="there is no place here"):
        check_places(replace(settled(), tablespaces=confined), BACKUP, ["16384"])
    with pytest.raises(Error, match="above /fast/wal cannot be written"):
        check_places(replace(settled(), wal=Place("/fast/wal", confined=True)), BACKUP, [])


@pytest.mark.parametrize("path", [PATH, f"{PATH}/space"])
def test_no_tablespace_is_put_into_the_data_directory(path: str) -> None:
    with pytest.raises(Error, match=rf"would be in the data directory: {path} \(for /srv/fast\)"):
        check_places(settled(**{"16384": path}), BACKUP, [])
    check_places(settled(**{"16384": f"{PATH}-space"}), BACKUP, [])


def test_a_clone_without_a_configuration_is_refused() -> None:
    check_configuration(PATH, None, "db1", copied=False)
    with pytest.raises(Error, match=r"/etc/clone has no postgresql.conf; that of 'db1' is not restored"):
        check_configuration(PATH, "/etc/clone", "db1", copied=False)
    with pytest.raises(Error, match="'db1' is outside of its data directory, so /srv/clone would have none"):
        check_configuration(PATH, None, "db1", copied=True)


CHECK = CheckConfiguration(f"{PATH}.restore", None, (f"{PATH}.restore", PATH))


def test_a_configuration_that_leads_elsewhere_is_refused() -> None:
    for accepted in CHECK.accepted:
        check_effective(accepted, CHECK)
    with pytest.raises(Error, match=r"with /srv/clone.restore/postgresql.conf, a server .* would work in /srv/db1"):
        check_effective("/srv/db1", CHECK)
    with pytest.raises(Error, match=r"with /etc/clone/postgresql.conf, a server"):
        check_effective("/srv/db1", replace(CHECK, config_file="/etc/clone/postgresql.conf"))


def test_the_configuration_is_checked_before_a_staging_is_complete_and_before_a_switch() -> None:
    first, last = MakeDirectory("/a", 0o700), SetAccess("/a", 0o700)
    finish = FinishStaging(f"{PATH}.restore", RECORD, None)
    assert with_checks(Plan((first, finish)), CHECK).steps == (first, CHECK, finish)
    assert with_checks(Plan((first, last)), CHECK).steps == (CHECK, first, last)
    both = (RaiseSettings("/a", None, "/b", {"max_connections": 60, "max_prepared_transactions": 0}), CHECK)
    put_back = RestoreConfiguration("/backup", (), ".before")
    assert with_checks(Plan((first, put_back, last)), *both).steps == (first, put_back, *both, last)
    assert both[0].text.endswith("for the WAL to be replayed, where it asks for max_connections = 60")
    assert CHECK.text == "check that the configuration makes a server work in /srv/clone"


@pytest.mark.parametrize(
    ("source", "target", "end", "named"),
    [
        ("db1", Target("latest"), "0/9000028", "000000010000000000000009"),
        ("db1", Target("latest"), "0/9000000", "000000010000000000000008"),
        ("db1", Target("latest"), None, None),
        ("db1", Target("immediate"), "0/9000028", None),
        (None, Target("latest"), "0/9000028", None),
    ],
)
def test_a_clone_to_the_end_replays_what_was_there_when_it_was_planned(
    source: str | None, target: Target, end: str | None, named: str | None
) -> None:
    path = TimelinePath.parse(1, "")
    choice = Choice(BACKUP, path, None if end is None else Lsn.parse(end), 3, examples.minutes(20))
    assert last_segment(RestoreRequest(target, "clone", OURS, source=source), choice, 16 << 20) == named
