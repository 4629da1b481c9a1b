# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a history that fails short: take out what it fails without, one operation after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tests.support.histories.plan import Operation

Fails = Callable[[Sequence[Operation]], bool]


def shrink(operations: Sequence[Operation], fails: Fails, tries: int) -> list[Operation]:
    """Return what still fails and cannot be made shorter, as far as so many tries show it; the whole has to fail.

    >>> shrink([{"verb": verb} for verb in "abcd"], lambda some: {"verb": "c"} in some, 9)
    [{'verb': 'c'}]
    """
    kept, left = list(operations), tries
    again = True
    while again:
        again = False
        for shorter in _shorter(kept):
            if left == 0:
                return kept
            left -= 1
            if fails(shorter):
                kept, again = shorter, True
                break
    return kept


def _shorter(operations: list[Operation]) -> Iterator[list[Operation]]:
    """Yield it without each of its operations, then with only one aim where there are several."""
    for at in reversed(range(len(operations))):
        yield operations[:at] + operations[at + 1 :]
    for at, operation in enumerate(operations):
        aims = operation.get("aims", [])
        for aim in aims if len(aims) > 1 else []:
            yield [*operations[:at], {**operation, "aims": [aim]}, *operations[at + 1 :]]
