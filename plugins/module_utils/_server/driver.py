# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find psycopg: among the interpreter's own packages, else in a directory that nothing but the modules uses."""

from __future__ import annotations

import sys
from typing import Any

from .._errors import Error


def psycopg_driver(directory: str | None) -> Any:
    """Import psycopg; the directory comes after the interpreter's own packages. Raises Error when there is none."""
    if directory is not None and directory not in sys.path:
        sys.path.append(directory)
    try:
        import psycopg  # noqa: PLC0415 -- where it is found depends on an option, and modules that need none start faster
        import psycopg.conninfo  # noqa: PLC0415 -- as above
        import psycopg.sql  # noqa: PLC0415 -- as above
    except ImportError as error:
        looked = f"for {sys.executable}" + ("" if directory is None else f", nor in {directory}")
        raise Error(
            f"psycopg 3 is missing {looked} ({error})",
            "install the distribution's package python3-psycopg (python3-psycopg3 in the RHEL family), "
            "or let the role postgres_cluster install it",
        ) from None
    return psycopg


def psycopg_version(directory: str | None) -> str | None:
    """Give the version of the psycopg that would be used; None when there is none."""
    try:
        return str(psycopg_driver(directory).__version__)
    except Error:
        return None
