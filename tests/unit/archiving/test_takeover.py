# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody else archives with is recognised, quoted without its secrets, and kept."""

from __future__ import annotations

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._archiving.commands import push_command
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.takeover import (
    KeepReplaced,
    Kept,
    foreign,
    others_archiving,
    refuse_replacing,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._values.secrets import MASK, masked
from tests.unit.archiving.test_plan import configured

PUSH = push_command("/opt/pgark-wal", ["/srv/pgark"], "db1", "zstd", 2)
EARLIER = PUSH.replace("|| { ", "|| exec ").partition("; case $?")[0]
THEIRS = [
    "pgbackrest --stanza=main archive-push %p",
    "barman-wal-archive backup main %p",
    "envdir /etc/wal-g.d wal-g wal-push %p",
    "test ! -f /mnt/%f && cp %p /mnt/%f",
    "/bin/true",
    "cp %p '/unbalanced",
    f"cp %p /mnt/%f && {PUSH} && curl http://10.0.0.1",
]


@pytest.mark.parametrize("command", THEIRS)
def test_what_is_not_ours_is_refused_with_its_text(command: str) -> None:
    found = foreign(configured({"archive_command": command}))
    assert found is not None
    message = str(refuse_replacing(found))
    assert f"archive_command is '{command}'" in message
    assert "Nothing was changed" in message
    assert "HINT: to take over, set wal_archiving_replace" in message


@pytest.mark.parametrize("command", ["", "  ", PUSH, EARLIER])
def test_what_is_ours_or_nobodys_is_replaced_unasked(command: str) -> None:
    assert foreign(configured({"archive_command": command})) is None


def test_a_library_counts_and_what_was_asked_for_is_nobody_elses() -> None:
    current = configured({"archive_library": "basic_archive", "archive_command": PUSH})
    found = foreign(current)
    assert (found.name if found else None) == "archive_library"
    assert foreign(current, ["basic_archive"]) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cp %p /mnt/%f", "cp %p /mnt/%f"),
        ("PGPASSWORD=geheim pg_x", f"PGPASSWORD={MASK} pg_x"),
        ("AWS_SECRET_ACCESS_KEY='a b' aws s3 cp", f"AWS_SECRET_ACCESS_KEY={MASK} aws s3 cp"),
        ("curl -T %p --token tok3n https://h/%f", f"curl -T %p --token {MASK} https://h/%f"),
        ("curl https://user:pa%%ss@host/%f", f"curl https://user:{MASK}@host/%f"),
        ('tool --api-key="k e y"; other', f"tool --api-key={MASK}; other"),
        ("rsync %p backup@host:/wal/%f", "rsync %p backup@host:/wal/%f"),
    ],
)
def test_secrets_are_left_out(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_what_is_kept_is_read_back_and_shown_to_nobody() -> None:
    current = configured({"archive_mode": "on"}, {"archive_command": "x --token abc %p"})
    kept = Kept.of(current)
    document = kept.as_document("7710", "/data")
    assert Kept.from_document("kept.json", document) == kept
    assert kept.automatic["archive_command"] == "x --token abc %p"
    assert "abc" not in str(KeepReplaced("kept.json", document).as_dict())


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"automatic": None}, {"automatic": {"work_mem": "1"}}, {"in_force": {"archive_mode": 1}}]
)
def test_a_file_of_another_form_is_refused(change: dict[str, object]) -> None:
    document = Kept.of(configured()).as_document("7710", "/data") | change
    with pytest.raises(Error, match=r"kept\.json has not the form"):
        Kept.from_document("kept.json", document)


def test_what_is_being_put_back_is_not_left_alone_half_way() -> None:
    theirs = configured({"archive_mode": "on", "archive_command": "cp %p /a/%f"})
    kept = Kept.of(theirs)
    assert others_archiving(theirs, [], None) is not None
    assert others_archiving(theirs, [], kept) is None
    assert others_archiving(configured({"archive_command": "cp %p /b/%f"}), [], kept) is not None
