# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the files by which our directories are told from others."""

from __future__ import annotations

RECORD = "pgark_restore.json"
HELD_CONTROL = "global/pg_control.pgark"
PLACE_MARK = "pgark_place.json"
MARKER = "repository.json"
CONTROL = "global/pg_control"
