# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from tests.demo.ledger import Comparison, Rows, checksum

EXPECTED: Rows = frozenset({(1, "one"), (2, "two"), (3, "three")})


@pytest.mark.parametrize(
    ("found", "missing", "surplus"),
    [
        ({(1, "one"), (2, "two"), (3, "three")}, 0, 0),
        ({(1, "one"), (2, "two")}, 1, 0),
        ({(1, "one"), (2, "two"), (3, "three"), (4, "four")}, 0, 1),
        ({(1, "one"), (2, "two"), (3, "changed")}, 1, 1),
        (set(), 3, 0),
    ],
)
def test_only_the_same_rows_are_exact(found: set[tuple[int, str]], missing: int, surplus: int) -> None:
    comparison = Comparison(EXPECTED, frozenset(found))
    assert (comparison.missing, comparison.surplus) == (missing, surplus)
    assert comparison.is_exact == (missing == surplus == 0)


def test_the_checksum_depends_on_every_value_and_not_on_the_order() -> None:
    assert checksum(EXPECTED) == checksum(frozenset(sorted(EXPECTED, reverse=True)))
    assert checksum(EXPECTED) != checksum(EXPECTED - {(1, "one")} | {(1, "One")})
