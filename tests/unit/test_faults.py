# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page on faults names a test for each of them, and each of these tests exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.sandbox import CHECKOUT

DIRECTORIES = {"I": "tests/integration", "U": "tests/unit"}
TEST = re.compile(r"`([IU])/([\w/]+\.py)::(test_\w+)`")


def rows() -> list[tuple[str, str]]:
    """Give fault and tests of each row; the heading of a table and the line below it are none."""
    lines = (CHECKOUT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [(fault, tests) for fault, _happens, tests in cells if tests != "tests" and not tests.startswith("---")]


def defined_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_page_has_rows() -> None:
    assert len(rows()) > 30


@pytest.mark.parametrize(("fault", "tests"), rows())
def test_each_fault_is_held_by_tests_that_exist(fault: str, tests: str) -> None:
    named = TEST.findall(tests)
    assert named, fault
    assert TEST.sub("", tests).strip(", ") == ""
    missing = [name for kind, file, name in named if name not in defined_in(CHECKOUT / DIRECTORIES[kind] / file)]
    assert not missing
