# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others have written gets into a message as a bounded piece of text that does nothing."""

from __future__ import annotations

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue, presentable, printable, shown
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn, SegmentName, TimelinePath


def test_a_value_is_shown_as_far_as_that_is_of_use() -> None:
    assert shown("a\nb\x1b") == r"'a\nb\x1b'"
    assert len(shown([1] * 1000)) < 70
    assert len(shown("x" * 1_000_000)) < 70


def test_words_are_bounded_and_do_nothing() -> None:
    assert printable("plain é") == "plain é"
    assert printable("\x1b[2J\nHINT: x\udcff") == r"\x1b[2J\nHINT: x\udcff"
    assert len(printable("\x1b" * 1_000_000)) < 10_000


def test_a_whole_message_keeps_its_lines_its_beginning_and_its_end() -> None:
    assert presentable("it says:\n\tno\x1b[2J\nHINT: é") == "it says:\n\tno\\x1b[2J\nHINT: é"
    found = presentable("begin" + "x" * 1_000_000 + "\nHINT: look")
    assert len(found) < 21_000
    assert found.startswith("begin")
    assert found.endswith("x\nHINT: look")


@pytest.mark.parametrize("words", ["x" * 1_000_000, "\x1b[2J" * 100, "\ufffd" * 1000])
def test_what_a_file_says_in_place_of_wal_s_words_is_quoted_in_part(words: str) -> None:
    for read in (
        Lsn.parse,
        SegmentName.parse,
        lambda text: TimelinePath.parse(2, text),
        lambda text: TimelinePath.parse(2, f"1\t{text}"),
    ):
        with pytest.raises(InvalidValue) as refused:
            read(words)
        assert len(refused.value.message) < 250
        assert refused.value.message.isprintable()
