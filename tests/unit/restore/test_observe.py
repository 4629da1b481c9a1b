# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far staging is can be seen from outside: in the record, the sizes of files, and what the verifier has read."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import RestoreRecord
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.processes import bytes_read
from ansible_collections.pgark.postgres.plugins.module_utils._restore.observe import look_at_staging
from ansible_collections.pgark.postgres.plugins.module_utils._values.markers import RECORD
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from tests.support.waiting import wait_until


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data directory beside which nothing is staged."""
    path = tmp_path / "my data"
    path.mkdir()
    return path


def stage(data: Path, **record: Any) -> Path:
    """Make the staging directory as a restore does at its beginning."""
    staging = data.with_name(f"{data.name}.restore")
    staging.mkdir()
    begun = RestoreRecord(Target().as_dict(), "monday", "main", "73", f"{data}.before-x")
    (staging / RECORD).write_text(json.dumps({**asdict(begun), **record}))
    return staging


def seen(data: Path) -> dict[str, Any]:
    found = look_at_staging(str(data))
    assert found is not None
    return found.as_dict()


def test_nothing_is_staged_where_there_is_no_record(data: Path) -> None:
    assert look_at_staging(str(data)) is None
    data.with_name("my data.restore").mkdir()
    assert look_at_staging(str(data)) is None


def test_what_is_unpacked_is_counted_in_all_places(data: Path, tmp_path: Path) -> None:
    places = [tmp_path / "tablespace", tmp_path / "not there yet"]
    staging = stage(data, size=5000, complete=False, places=[str(place) for place in places])
    noted = (staging / RECORD).stat().st_size
    (staging / "base").mkdir()
    (staging / "base" / "1").write_bytes(bytes(1000))
    places[0].mkdir()
    (places[0] / "2").write_bytes(bytes(500))
    expected = {"backup": "monday", "step": "unpack", "bytes": noted + 1500, "total": 5000, "complete": False}
    assert seen(data) == expected


def test_without_a_noted_size_there_is_no_total(data: Path) -> None:
    stage(data)
    assert seen(data)["total"] is None


def test_after_verification_the_rest_is_writing_to_disk(data: Path) -> None:
    staging = stage(data, size=5000, complete=False)
    (staging / "recovery.signal").touch()
    assert seen(data) == {"backup": "monday", "step": "sync", "bytes": None, "total": 5000, "complete": False}


def test_a_complete_restore_is_told(data: Path) -> None:
    stage(data, size=5000, complete=True)
    assert seen(data)["complete"]


def test_a_damaged_record_is_refused(data: Path) -> None:
    (stage(data) / RECORD).write_text("{")
    with pytest.raises(Error, match="is not a JSON document"):
        look_at_staging(str(data))


def test_verification_is_followed_by_what_it_has_read(data: Path, tmp_path: Path) -> None:
    staging = stage(data, size=300_000, complete=False)
    program = tmp_path / "bin" / "pg_verifybackup"
    program.parent.mkdir()
    shutil.copy(str(shutil.which("cat")), program)
    with subprocess.Popen(
        [program, "/dev/zero", staging], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.read(200_000)
        wait_until(lambda: seen(data)["step"] == "verify", message="the verifier to be seen")
        assert 200_000 <= seen(data)["bytes"] < 10_000_000
        assert bytes_read("pg_verifybackup", str(data)) is None
        assert bytes_read("verifybackup", str(staging)) is None
        process.kill()
    assert seen(data)["step"] == "unpack"
