# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples in docstrings hold."""

import doctest
import importlib
import re

import pytest

from tests.gates.project import project_files
from tests.gates.rooms import COLLECTION
from tests.gates.setup import ROOT

EXAMPLES = [
    f"{COLLECTION}.{name.removesuffix('.py').replace('/', '.')}"
    for name in project_files("plugins/module_utils/*.py")
    if re.search(r"(?m)^\s*>>> ", (ROOT / name).read_text())
]


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("module", EXAMPLES, ids=lambda name: name.partition("module_utils.")[2])
def test_examples_hold(module: str) -> None:
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0
    assert results.failed == 0
