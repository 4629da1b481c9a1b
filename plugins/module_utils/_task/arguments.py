# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specifications that modules share; ``doc_fragments/common.py`` describes them."""

from __future__ import annotations

from typing import Any

from .._errors import InvalidValue
from .._values.hints import CALLERS

_MOST_JOBS = 64
Spec = dict[str, dict[str, Any]]

COMMON: Spec = {
    "login_host": {"type": "str"},
    "login_port": {"type": "int", "default": 5432},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str"},
    "login_unix_socket": {"type": "path"},
    "ssl_mode": {"type": "str", "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]},
    "ca_cert": {"type": "path", "aliases": ["ssl_rootcert"]},
    "ssl_cert": {"type": "path"},
    "ssl_key": {"type": "path", "no_log": False},
    "repository": {"type": "path"},
    "cluster": {"type": "str"},
    "data_directory": {"type": "path"},
    "bin_directory": {"type": "path"},
    "log_file": {"type": "path"},
    "python_directory": {"type": "path"},
    # Set by the roles, so that errors name what works where they are read.
    "called_by": {"type": "str", "choices": list(CALLERS), "default": "module"},
}

COMPRESSION: Spec = {
    "compression": {"type": "str", "default": "auto", "choices": ["auto", "none", "gzip", "lz4", "zstd"]},
}

REPOSITORIES: Spec = {
    "further_repositories": {"type": "list", "elements": "path", "default": []},
    "jobs": {"type": "int", "default": 2},
}

TARGET: Spec = {
    "target_time": {"type": "str"},
    "target_xid": {"type": "str"},
    "target_name": {"type": "str"},
    "target_lsn": {"type": "str"},
    "target": {"type": "str", "choices": ["latest", "immediate"]},
    "target_timeline": {"type": "str", "default": "latest"},
    "target_inclusive": {"type": "bool", "default": True},
    "backup_label": {"type": "str"},
}


def spec(*parts: Spec, **own: dict[str, Any]) -> Spec:
    """Join a module's own options with the common ones and other shared parts."""
    joined: Spec = dict(COMMON)
    for part in (*parts, own):
        joined.update(part)
    return joined


def required(shared: Spec, *names: str) -> Spec:
    """Take options of a specification and make them required."""
    return {name: {**shared[name], "required": True} for name in names}


def check_jobs(jobs: int) -> int:
    """Return how many segments to work on at once, if that is a sensible number."""
    if not 1 <= jobs <= _MOST_JOBS:
        raise InvalidValue(f"found {jobs} jobs, expected 1 to {_MOST_JOBS}")
    return jobs
