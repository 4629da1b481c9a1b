# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interpreters `make compat` takes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.gates import compat

MINOR = sys.version_info.minor


@pytest.fixture
def pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide the only place in which interpreters are looked for."""
    monkeypatch.setattr(compat, "PLACES", ())
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    return tmp_path / "versions"


def place(pythons: Path, version: str, interpreter: str) -> Path:
    name = f"python{version.rpartition('.')[0]}"
    program = pythons / version / "bin" / name
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{interpreter}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return program


def test_the_newest_that_works_and_is_what_it_is_called_is_taken(pythons: Path) -> None:
    place(pythons, f"3.{MINOR + 1}.0", "/bin/false")
    mislabelled = place(pythons, f"3.{MINOR + 2}.0", sys.executable)
    right = place(pythons, f"3.{MINOR}.0", sys.executable)
    assert mislabelled in list(compat.candidates(MINOR + 2))
    assert compat.newest_interpreter(range(9, MINOR + 3), "a test") == right


def test_a_missing_interpreter_is_asked_for(pythons: Path) -> None:
    with pytest.raises(SystemExit, match=r"found no Python 3\.9 to 3\.10 with venv for a test; .*versions\. HINT: "):
        compat.newest_interpreter(range(9, 11), "a test")
    with pytest.raises(SystemExit, match=r"put it on the PATH as python3\.9"):
        compat.make_managed("3.9")


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"4\.0 is no version of Python; expected one such as 3\.9"):
        compat.make_managed("4.0")
