# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person who waits is told while the server does not answer."""

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._recovery.observe import Progress


@pytest.mark.parametrize(
    ("segment", "refusal", "text"),
    [
        ("000000010000000000000005", "the database system is starting up", "recovering, reads segment 00000001"),
        (None, "password authentication failed", "starting, password authentication failed"),
    ],
)
def test_what_a_server_that_does_not_answer_does_is_told(segment: str | None, refusal: str, text: str) -> None:
    assert Progress(False, None, segment, refusal).text.startswith(text)
