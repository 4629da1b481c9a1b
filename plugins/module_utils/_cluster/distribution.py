# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What distributions decide: where their packages keep clusters, and what packages are called."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .._errors import Error

# Debian's postgresql-common (pg_createcluster) has a directory of configuration for each cluster, which tells of it
# even when its data is gone. The RHEL family's packages have the configuration in the data directory: postgresql.org's
# at the versioned place, the distribution's own at the other (README.rpm-dist of both).
DEBIAN_CONFIGURATIONS = "/etc/postgresql/*/*/postgresql.conf"
DATA_DIRECTORIES = (
    "/var/lib/postgresql/*/*/PG_VERSION",
    "/var/lib/pgsql/*/data/PG_VERSION",
    "/var/lib/pgsql/data/PG_VERSION",
)
_PLACES = "/etc/postgresql, /var/lib/postgresql, /var/lib/pgsql"
_DEBIAN = re.compile(r"/etc/postgresql/([^/]+)/([^/]+)")
_DEBIAN_DATA = re.compile(r"/var/lib/postgresql/([0-9.]+)/([^/]+)")
_REDHAT = re.compile(r"/var/lib/pgsql/(?:([0-9]+)/)?data")
_OF_A_RESTORE = re.compile(r"[.](restore|before-[^/]*)(/|$)")
_DATA_DIRECTORY = re.compile(r"^\s*data_directory\s*=?\s*'((?:[^']|'')*)'", re.MULTILINE)


# What a server that SELinux's targeted policy confines may write, and what it may execute: postgresql_selinux(8). New
# files have the type of their directory. Packages of postgresql.org are not confined unless a policy is added for them.
SELINUX_TYPES = {"data": "postgresql_db_t", "repository": "postgresql_db_t", "program": "bin_t"}


class NoCluster(Error):
    """No cluster is where packages keep them."""


@dataclass(frozen=True)
class Found:
    """A cluster as packages lay it out; an empty ``service`` or ``log_file``: packages have none for it."""

    data_directory: str
    config_directory: str
    service: str = ""
    log_file: str = ""


def debian_cluster(config_directory: str, configuration: str) -> Found:
    """Describe the cluster that a directory of configuration is for, from the text of its ``postgresql.conf``.

    >>> debian_cluster("/etc/postgresql/17/main", "data_directory = '/srv/db'").data_directory
    '/srv/db'
    """
    match = _DEBIAN.fullmatch(config_directory)
    if match is None:
        raise Error(f"{config_directory} is not a directory of Debian's configuration")
    version, name = match.groups()
    written = _DATA_DIRECTORY.findall(configuration)
    data = written[-1].replace("''", "'") if written else f"/var/lib/postgresql/{version}/{name}"
    log = f"/var/log/postgresql/postgresql-{version}-{name}.log"
    return Found(data, config_directory, f"postgresql@{version}-{name}", log)


def named(data_directory: str, configured: Sequence[Found], lost: bool) -> Found:
    """Describe the cluster of a data directory that somebody named.

    ``configured`` are the clusters that Debian's configuration has for it. ``lost``: Debian's packages are there and
    the data is not, so that the cluster may have been one of theirs before it was lost with its configuration.

    >>> named("/var/lib/postgresql/17/main", [], lost=True).config_directory
    '/etc/postgresql/17/main'
    """
    match = _DEBIAN_DATA.fullmatch(data_directory) if lost else None
    if match is not None and not configured:
        return debian_cluster(f"/etc/postgresql/{match[1]}/{match[2]}", "")
    return configured[0] if configured else cluster_in(data_directory)


def cluster_in(data_directory: str) -> Found:
    """Describe the cluster of a data directory that holds its own configuration.

    >>> cluster_in("/var/lib/pgsql/17/data").service
    'postgresql-17'
    >>> cluster_in("/srv/db").service
    ''
    """
    match = _REDHAT.fullmatch(data_directory)
    service = "" if match is None else f"postgresql-{match[1]}" if match[1] else "postgresql"
    return Found(data_directory, data_directory, service)


def remembered(data_directory: str, config_directory: str, packaged: bool) -> Found:
    """Describe a cluster of which nothing is left, from where it was when it was backed up.

    ``packaged``: Debian's packages are here, so that a directory of their configuration has a unit.

    >>> remembered("/srv/db", "/etc/postgresql/17/main", packaged=True).service
    'postgresql@17-main'
    """
    if packaged and _DEBIAN.fullmatch(config_directory) is not None:
        return replace(debian_cluster(config_directory, ""), data_directory=data_directory)
    return replace(cluster_in(data_directory), config_directory=config_directory)


def candidates(debian: Sequence[Found], data_directories: Sequence[str]) -> list[Found]:
    """List the clusters of a host, each once; what a restore staged or set aside beside one is none.

    In Debian's place, neither is what has no configuration where another one has: pg_lsclusters does not list it, and
    it may be what somebody has moved away.
    """
    configured = {found.data_directory for found in debian}
    others = [path for path in data_directories if path not in configured and not _OF_A_RESTORE.search(path)]
    if debian:
        others = [path for path in others if not _DEBIAN_DATA.fullmatch(path)]
    return sorted([*debian, *map(cluster_in, others)], key=lambda found: found.data_directory)


def only(found: Sequence[Found]) -> Found:
    """Give the one cluster; raises Error rather than guess."""
    if len(found) == 1:
        return found[0]
    listed = ", ".join(each.data_directory for each in found)
    hint = "say which data directory is meant: data_directory, in the roles postgres_cluster_data_directory"
    if not found:
        raise NoCluster(f"no cluster was found in {_PLACES}", hint)
    raise Error(f"several clusters were found: {listed}", hint)


@dataclass(frozen=True)
class Distribution:
    """A distribution, by ``ID``, ``ID_LIKE`` and ``VERSION_ID`` of ``/etc/os-release`` (os-release(5))."""

    family: str
    name: str
    version: tuple[int, ...]

    @property
    def psycopg_package(self) -> str:
        """Name the package of psycopg 3 for the distribution's own Python; empty where it has none.

        Debian has it since 12, Ubuntu since 24.04, Fedora under another name, and RHEL only in EPEL.
        """
        if self.name == "fedora":
            return "python3-psycopg3"
        since = {"debian": (12,), "ubuntu": (24, 4)}.get(self.name)
        return "python3-psycopg" if since is not None and self.version >= since else ""


def parse_os_release(text: str) -> Distribution:
    r"""Read ``/etc/os-release``; the family is ``debian``, ``redhat`` or empty.

    >>> parse_os_release('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n')
    Distribution(family='redhat', name='rocky', version=(9, 4))
    """
    pairs = (line.partition("=") for line in text.splitlines())
    values = {name: " ".join(shlex.split(value)) for name, equals, value in pairs if equals and name.isupper()}
    names = {values.get("ID", ""), *values.get("ID_LIKE", "").split()}
    family = "debian" if "debian" in names else "redhat" if names & {"rhel", "fedora"} else ""
    version = tuple(int(part) for part in re.findall(r"\d+", values.get("VERSION_ID", "")))
    return Distribution(family, values.get("ID", ""), version)
