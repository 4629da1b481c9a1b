# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Marks for tests against real servers."""

from __future__ import annotations

import pytest

from tests.support.postgres import versions

# For what is no matter of the server's version: the newest one has to do.
once = pytest.mark.parametrize("version", versions()[-1:], ids=lambda version: f"pg{version}", indirect=True)
