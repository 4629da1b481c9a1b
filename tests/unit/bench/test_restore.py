# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The times of a restore are those in the server's log."""

from __future__ import annotations

import pytest

from tests.bench.restore import times

LOG = """\
2026-01-01 10:00:00.000 GMT [1] LOG:  received fast shutdown request
2026-01-01 10:00:01.900 GMT [1] LOG:  database system is shut down
2026-01-01 10:00:02.500 GMT [2] LOG:  starting PostgreSQL 17.1
2026-01-01 10:00:07.000 GMT [3] LOG:  archive recovery complete
2026-01-01 10:00:09.000 GMT [2] LOG:  received fast shutdown request
2026-01-01 10:00:10.000 GMT [4] LOG:  starting PostgreSQL 17.1
"""


def test_the_times_are_those_of_the_first_stop() -> None:
    assert times(LOG) == pytest.approx((1.9, 0.6, 4.5))


def test_a_log_without_a_stop_is_not_measured() -> None:
    with pytest.raises(AssertionError, match="does not have 'received fast shutdown request'"):
        times("")
