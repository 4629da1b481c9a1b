# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A segment that arrives is of use only when a backup leads to it without a gap."""

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._repository.catalog import Catalog
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import SegmentName
from ansible_collections.pgark.postgres.plugins.module_utils._windows.coverage import uncovered
from tests.unit.examples import SIZE, catalog
from tests.unit.windows.test_spans import FORKED, HISTORY, MONDAY, TUESDAY, WHOLE, without

LAST = max(number for _timeline, number in WHOLE)


@pytest.mark.parametrize(
    ("subject", "timeline", "words"),
    [
        (catalog([MONDAY], WHOLE), 1, None),
        (catalog([MONDAY, TUESDAY], without(4)), 1, None),
        (
            catalog([MONDAY], without(8)),
            1,
            "segment 000000010000000000000008 is missing from the archive, so no backup",
        ),
        (catalog([], WHOLE), 1, "there is no backup yet; what is archived from now on can be restored once"),
        (catalog([MONDAY], {(1, LAST): WHOLE[1, LAST]}), 1, "the archive does not reach back to a backup, so"),
        (catalog([MONDAY], FORKED, HISTORY), 2, None),
    ],
)
def test_it_is_said_when_a_new_backup_has_to_come_first(subject: Catalog, timeline: int, words: str | None) -> None:
    number = max(number for line, number in subject.files if line == timeline)
    found = uncovered(subject, SegmentName.numbered(timeline, number, SIZE))
    assert (found or "").startswith(words or "")
    assert (found is None) == (words is None)
