# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files at the top of the collection say agrees with what is in it."""

import re
from pathlib import Path

import pytest
import yaml

from tests.gates.project import project_files
from tests.gates.setup import ROOT

HEADER = Path(__file__).read_text().splitlines()[:3]
# What works on the controller alone has no options that a cluster's modules share.
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py") if path.stem != "asked")
DIRECT = re.findall(r"(?m)^[\w.-]+", (ROOT / "requirements-dev.in").read_text())
PINNED = [
    line
    for name in ("requirements-dev.txt", "requirements-servers.txt")
    for line in (ROOT / name).read_text().splitlines()
    if not line.startswith("#")
]


def test_action_group_lists_every_module() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())
    assert runtime["action_groups"]["all"] == MODULES


@pytest.mark.parametrize("name", [name for name in project_files("*.py") if (ROOT / name).stat().st_size])
def test_python_file_carries_the_licence(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    assert lines[lines[0].startswith("#!") :][:3] == HEADER


@pytest.mark.parametrize("line", PINNED)
def test_development_requirement_is_pinned(line: str) -> None:
    assert re.fullmatch(r"[\w.-]+==[\w.]+", line)


@pytest.mark.parametrize("name", DIRECT)
def test_direct_requirement_is_among_the_pinned(name: str) -> None:
    assert name.lower() in {line.partition("==")[0].lower() for line in PINNED}


def test_the_supported_ansible_is_the_same_everywhere() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())
    wanted = runtime["requires_ansible"].removesuffix(".0").lstrip(">=")
    for path in (ROOT / "roles").glob("*/meta/main.yml"):
        assert yaml.safe_load(path.read_text())["galaxy_info"]["min_ansible_version"] == wanted, path
