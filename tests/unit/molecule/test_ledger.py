# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The count that says whether a restore on a whole host brought back what it had to, and no more."""

from collections.abc import Collection
from datetime import UTC, datetime

import pytest

from tests.molecule.ledger import Row, count, parse

# Around the moment 100: one row before it, one across it, one after it.
LOG = parse(["0 1 98.0 99.0", "1 1 99.5 100.5", "0 2 100.2 100.4"])
MOMENT = datetime.fromtimestamp(100, tz=UTC)


@pytest.mark.parametrize(
    ("found", "missing", "surplus"),
    [
        ({(0, 1)}, set(), set()),
        ({(0, 1), (1, 1)}, set(), set()),
        ({(1, 1)}, {(0, 1)}, set()),
        (set(), {(0, 1)}, set()),
        ({(0, 1), (0, 2)}, set(), {(0, 2)}),
        ({(0, 1), (2, 1)}, set(), {(2, 1)}),
    ],
    ids=["exact", "the row across the moment may be there", "lost", "all lost", "too late", "never acknowledged"],
)
def test_rows_are_compared_with_the_log(found: Collection[Row], missing: set[Row], surplus: set[Row]) -> None:
    counted = count(LOG, MOMENT, found)
    assert (counted.missing, counted.surplus) == (missing, surplus)


def test_the_log_is_counted_on_both_sides_of_the_moment() -> None:
    counted = count(LOG, MOMENT, {(0, 1)})
    assert (counted.before, counted.after) == (1, 1)
