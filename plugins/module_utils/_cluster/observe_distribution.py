# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at what the distribution has put on this host: clusters, programs, and what could be installed."""

from __future__ import annotations

import glob
import importlib.util
import os

from .distribution import (
    DATA_DIRECTORIES,
    DEBIAN_CONFIGURATIONS,
    SELINUX_TYPES,
    Distribution,
    Found,
    candidates,
    debian_cluster,
    named,
    only,
    parse_os_release,
)

_POSTGRESQL_COMMON = "/usr/share/postgresql-common"
_SELINUX = "/sys/fs/selinux/enforce"


def find_cluster(given: str | None, root: str = "") -> Found:
    """Describe the cluster of a data directory; when none is given, the one cluster of the host.

    A data directory is given as the inventory writes it, so it is compared with symbolic links resolved. ``root`` is
    put before the places that are searched. Configuration that this user cannot read is of another owner's cluster.
    """
    paths = [path for path in sorted(glob.glob(root + DEBIAN_CONFIGURATIONS)) if os.access(path, os.R_OK)]
    debian = [_read_debian(path, root) for path in paths]
    if given is None:
        found = [path for pattern in DATA_DIRECTORIES for path in glob.glob(root + pattern)]
        return only(candidates(debian, [os.path.dirname(path)[len(root) :] for path in found]))
    real = os.path.realpath(given)
    configured = [each for each in debian if os.path.realpath(each.data_directory) == real]
    lost = is_packaged(root) and not os.path.exists(f"{root}{given}/PG_VERSION")
    return named(given, configured, lost)


def is_packaged(root: str = "") -> bool:
    """Tell whether Debian's packages of PostgreSQL are here."""
    return os.path.isdir(root + _POSTGRESQL_COMMON)


def _read_debian(path: str, root: str) -> Found:
    with open(path, encoding="utf-8", errors="replace") as file:
        return debian_cluster(os.path.dirname(path)[len(root) :], file.read())


def distribution() -> Distribution:
    """Tell which distribution this is; an unknown one where it does not say."""
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            return parse_os_release(file.read())
    except FileNotFoundError:
        return parse_os_release("")


def selinux_types(root: str = "") -> dict[str, str] | None:
    """Give the types that data, repository and program are to have; None where SELinux does not label files."""
    return dict(SELINUX_TYPES) if os.path.exists(root + _SELINUX) else None


def has_pip() -> bool:
    """Tell whether this interpreter has pip."""
    return importlib.util.find_spec("pip") is not None
