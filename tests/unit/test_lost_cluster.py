# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a cluster was of which the host has nothing left is told by its newest backup, when that is asked."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster import observe_distribution as distribution
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.files import Origin
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._repository.layout import Layout
from ansible_collections.pgark.postgres.plugins.module_utils._restore.module_ground import locate
from ansible_collections.pgark.postgres.plugins.module_utils._task.task import Task
from tests.unit.examples import backup
from tests.unit.repository.test_observe import lay_out, put


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Provide the options for a host without a cluster, and a repository in which two backups say where it was."""
    for name in ("DEBIAN_CONFIGURATIONS", "DATA_DIRECTORIES"):  # whatever packages this machine has
        monkeypatch.setattr(distribution, name, "" if name == "DEBIAN_CONFIGURATIONS" else ())
    layout = Layout(str(tmp_path / "repository"), "main")
    lay_out(layout)
    for day, label in enumerate(("monday", "tuesday")):
        place = str(tmp_path / label)
        origin = Origin(f"{place}/data", f"{place}/etc", 5432)
        document = replace(backup(label, day, 3 + day), origin=origin).sealed()
        put(f"{layout.backup(label)}/backup.json", json.dumps(document))
    common = {"data_directory": None, "repository": layout.repository, "cluster": "main", "from_backup": True}
    return {**common, "further_repositories": []}


def test_the_newest_backup_says_where_a_lost_cluster_was(options: dict[str, Any], tmp_path: Path) -> None:
    found, label = locate(Task(options, False))
    place = tmp_path / "tuesday"
    assert (found.data_directory, found.config_directory, label) == (f"{place}/data", f"{place}/etc", "tuesday")


def test_what_is_given_counts(options: dict[str, Any]) -> None:
    found, label = locate(Task({**options, "data_directory": "/srv/db"}, False))
    assert (found.data_directory, label) == ("/srv/db", None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"from_backup": False}, "no cluster was found in .*\nHINT: say which data directory is meant"),
        ({"repository": None}, "no cluster was found in .*\nHINT: say which data directory is meant"),
        ({"cluster": "other"}, "and the repository does not tell where it was: .* holds nothing of a cluster 'other'"),
    ],
)
def test_where_nobody_tells_it_has_to_be_given(options: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Error, match=said):
        locate(Task({**options, **changes}, False))


def test_a_place_that_others_could_have_laid_the_way_to_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "tuesday").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Error, match="where the cluster was when it was backed up, leads to"):
        locate(Task(options, False))
