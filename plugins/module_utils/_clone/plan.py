# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring elsewhere: what a clone of another cluster must not do, where it may go, and where its tablespaces go."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from .._cluster.data_directory import DataDirectory, Place, RestoreRecord, RestoreRequest, unstamped
from .._configuration.own_places import places_of_its_own
from .._configuration.steps import RestoreConfiguration
from .._errors import Error, InvalidValue
from .._plan.plan import Plan, Step
from .._repository.catalog import Backup
from .._repository.layout import check_path
from .._restore.plan import check_directory
from .._restore.steps import FinishStaging
from .._server.recovery_settings import RECOVERY_SETTINGS
from .._wal.identity import Identity
from .._wal.names import SegmentName
from .._windows.choice import Choice

_LIBRARY_SINCE = 15
_ARCHIVING = ("archive_mode", "archive_command", "archive_library")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?", re.ASCII)
# What would reach for what belongs to the source: its archive, its primary, its subscriptions' publishers. And a commit
# would wait for the source's synchronous standbys.
_KEPT = {
    "archive_mode": "off",
    "archive_command": "",
    "primary_conninfo": "",
    "primary_slot_name": "",
    "synchronous_standby_names": "",
    "max_logical_replication_workers": "0",
}


def check_source(source: str | None, cluster: str) -> None:
    """Refuse to take a cluster for a clone of itself."""
    if source == cluster:
        raise InvalidValue(
            f"source_cluster is '{source}', which is the cluster itself",
            "leave it out to restore the cluster in place; a clone has a name of its own in cluster",
        )


def is_attached(record: RestoreRecord | None, identifier: str | None) -> bool:
    """Tell whether a directory is that of a clone which still has its source's system identifier."""
    return record is not None and record.source is not None and identifier == record.system_identifier


def check_detached(path: str, record: RestoreRecord | None, identifier: str) -> None:
    """Refuse to archive from a clone that still has its source's system identifier."""
    if record is not None and is_attached(record, identifier):
        raise Error(
            f"{path} is a clone of '{record.source}' and has its system identifier, by which archives are told apart",
            "give it one of its own first: stop the server, and run pitr_restore with state: detached",
        )


def check_clone_directory(
    directory: DataDirectory, identity: Identity, source: str | None, force: bool, replace_new: bool = False
) -> None:
    """Refuse to replace what is neither this cluster's data nor, with a ``source``, an earlier clone of it."""
    record, found = directory.record, directory.system_identifier
    cloned = None if record is None else record.source
    if source is None and is_attached(record, found):
        raise Error(
            f"{directory.path} holds a clone of '{cloned}' that has no identity of its own, not '{cloned}' itself",
            f"give source_cluster={cloned} to restore the clone again, or another data_directory",
        )
    if source is None or found is None:
        return check_directory(directory, identity, force, replace_new)
    if record is not None and cloned == source and found in (record.system_identifier, record.identity):
        return None
    if found == identity.system_identifier:
        raise Error(
            f"{directory.path} holds '{source}' itself, or a copy of it, and no clone",
            "a clone needs a data_directory of its own, which is missing, empty, or an earlier clone",
        )
    return check_directory(directory, identity, force, replace_new)


def socket_settings(port: int, directory: str | None) -> dict[str, str]:
    r"""Give the settings that put a server where the modules look for it; a list's element is quoted by itself.

    >>> socket_settings(5433, "/srv/a,b")
    {'port': '5433', 'unix_socket_directories': '"/srv/a,b"'}
    """
    quoted = "" if directory is None else directory.replace('"', '""')
    return {"port": str(port), **({"unix_socket_directories": f'"{quoted}"'} if quoted else {})}


def clone_settings(major: int, extra: Mapping[str, str], inside: Mapping[str, str] | None) -> dict[str, str]:
    """Give the settings that a clone keeps.

    ``extra`` is what this machine needs. ``inside`` is what a clone needs besides whose configuration is that of the
    source, because it lies in the data directory (None: it has a configuration of its own).
    """
    fixed = {**_KEPT, **({"archive_library": ""} if major >= _LIBRARY_SINCE else {})}
    for name, value in extra.items():
        _check_setting(name, value, fixed)
    return {**({} if inside is None else {**places_of_its_own(major), **inside}), **extra, **fixed}


def settings_in_place(extra: Mapping[str, str]) -> dict[str, str]:
    """Give the settings that a cluster keeps which is restored in place: what this machine needs."""
    for name, value in extra.items():
        _check_setting(name, value, {})
        if name.lower() in _ARCHIVING:
            raise InvalidValue(
                f"settings names {name.lower()}, which a cluster that is restored in place has from its backup",
                "setup_archiving.yml changes it when the cluster has been restored",
            )
    return dict(extra)


def _check_setting(name: str, value: str, fixed: Mapping[str, str]) -> None:
    if not _SETTING.fullmatch(name):
        raise InvalidValue(f"settings: {name!r} is not the name of a setting")
    if "\n" in value or "\r" in value:
        raise InvalidValue(f"settings: the value of {name} has a line break, which a configuration file cannot hold")
    if name.lower() in RECOVERY_SETTINGS:
        raise InvalidValue(f"settings names {name.lower()}, which a restore itself writes", "leave it out")
    if name.lower() in fixed:
        raise InvalidValue(
            f"settings names {name.lower()}, which is '{fixed[name.lower()]}' in a clone",
            "change it when the clone has been detached; setup_archiving.yml turns archiving on again",
        )


def last_segment(request: RestoreRequest, choice: Choice, segment_size: int) -> str | None:
    """Name the last segment that a clone replays where its target is no place in the WAL (None: that is one).

    What its source archives afterwards was not looked at: it may make a tablespace where that has its own.
    """
    if request.source is None or request.target.kind != "latest" or choice.end_lsn is None:
        return None
    return str(SegmentName.ending_at(choice.timeline, choice.end_lsn, segment_size))


def with_checks(plan: Plan, *checks: Step) -> Plan:
    """Add checks to the plan of a staging, before it is called complete, or to that of a switch, before all else.

    What is put back of the configuration is there before.
    """
    steps = list(plan.steps)
    places = [number for number, step in enumerate(steps) if isinstance(step, FinishStaging)]
    places += [number + 1 for number, step in enumerate(steps) if isinstance(step, RestoreConfiguration)]
    at = next(iter(places), 0)
    return replace(plan, steps=(*steps[:at], *checks, *steps[at:]))


def placed(
    backup: Backup, present: Mapping[str, Place], mapping: Mapping[str, str]
) -> tuple[dict[str, str], frozenset[str]]:
    """Give, by oid, the path that decides where a tablespace's data goes, and the oids for which it is a new one.

    ``present`` are the places in the data directory that is replaced, ``mapping`` is old path to new path.
    """
    mapped = _by_origin(backup, mapping)
    paths = {}
    for oid, origin in backup.outside.items():
        new = mapped.get(oid, origin)
        here = present[oid].path if oid in present else new
        paths[oid] = here if oid not in mapped or _belongs(here, new) else new
    return paths, frozenset(oid for oid in mapped if oid not in present or paths[oid] != present[oid].path)


def _belongs(here: str, new: str) -> bool:
    """Tell whether the data is at the path, or an earlier restore put it beside or in it."""
    return unstamped(here) == new


def _by_origin(backup: Backup, mapping: Mapping[str, str]) -> dict[str, str]:
    """Find for each pair of the mapping the tablespace that is meant."""
    origins = {unstamped(path): oid for oid, path in backup.outside.items()}
    wanted = {}
    for old, new in mapping.items():
        oid = origins.get(unstamped(old.rstrip("/")))
        if oid is None:
            known = ", ".join(sorted(backup.outside.values())) or "none"
            raise InvalidValue(
                f"tablespace_mapping names {old}, where backup '{backup.label}' has no tablespace; it has: {known}",
                "give the paths as the cluster that was backed up had them",
            )
        wanted[oid] = check_path("the new path in tablespace_mapping", new)
    for new in sorted(wanted.values()):
        if list(wanted.values()).count(new) > 1:
            raise InvalidValue(f"tablespace_mapping gives {new} to two tablespaces", "give each one a path of its own")
    return wanted


def check_places(
    directory: DataDirectory,
    backup: Backup,
    unusable: Collection[str],
    holding: Collection[str] = (),
    present: Collection[str] = (),
) -> None:
    """Refuse places of tablespaces that are in PGDATA, or ``unusable`` (by oid): nothing can be made there.

    ``holding`` are those that are to go into what is the place of a tablespace itself, with which they would be removed
    one day; ``present`` are those that the data directory has already.
    """
    for oid in sorted(backup.outside):
        if f"{directory.tablespaces[oid].path}/".startswith(f"{directory.real_path}/"):
            raise Error(
                f"a tablespace would be in the data directory: {_named(oid, directory, backup)}",
                "map it to a path outside with tablespace_mapping",
            )
    for oid in sorted(holding):
        raise Error(
            f"{directory.tablespaces[oid].path}, into which a tablespace is to go, is the place of a tablespace itself",
            "name a directory that holds nothing, or nothing of PostgreSQL's, in tablespace_mapping",
        )
    _check_confined(directory, [directory.tablespaces[oid] for oid in backup.outside if oid in present])
    if unusable:
        named = ", ".join(_named(oid, directory, backup) for oid in sorted(unusable))
        raise Error(
            f"there is no place here for tablespaces of backup '{backup.label}': neither the directory nor, writable, "
            f"the one above it is there: {named}",
            "map them to other paths with tablespace_mapping, or make the directories above them",
        )


def _check_confined(directory: DataDirectory, tablespaces: Collection[Place]) -> None:
    """Refuse a place in use beside which nothing can be made; what lies in it would be removed with it one day."""
    for place in (*([] if directory.wal is None else [directory.wal]), *tablespaces):
        if place.confined:
            raise Error(
                f"the directory above {place.path} cannot be written, so that no new one can be made beside that",
                f"have root make {place.provided} for the owner of the cluster (install -d -m 0700 -o OWNER "
                f"{place.provided}), or map the tablespace to another directory with tablespace_mapping",
            )


def _named(oid: str, directory: DataDirectory, backup: Backup) -> str:
    origin, path = backup.tablespaces[oid], directory.tablespaces[oid].path
    return path if path == origin else f"{path} (for {origin})"


def check_configuration(directory: str, missing: str | None, source: str, copied: bool) -> None:
    """Refuse a clone without a configuration; that of the source, outside its data directory, is never restored for it.

    ``missing`` is a directory outside PGDATA that has no ``postgresql.conf``; ``copied`` tells that the backup has the
    source's configuration beside the data, so that there is none in the data.
    """
    why = f"that of '{source}' is not restored for a clone, because it can name the data directory of '{source}'"
    if missing is not None:
        raise Error(
            f"{missing} has no postgresql.conf; {why}",
            "make a configuration for the clone there (on Debian: pg_createcluster), or leave config_directory out",
        )
    if copied:
        raise Error(
            f"the configuration of '{source}' is outside of its data directory, so {directory} would have none; {why}",
            "give config_directory, with a configuration of the clone's own",
        )
