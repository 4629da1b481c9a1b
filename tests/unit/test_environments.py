# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interpreters and which releases of ansible-core `make compat` and `make sanity` take."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.gates import environments

MINOR = sys.version_info.minor


@pytest.fixture
def pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide the only place in which interpreters are looked for."""
    monkeypatch.setattr(environments, "PLACES", ())
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
    assert mislabelled in list(environments.candidates(MINOR + 2))
    assert environments.newest_interpreter(range(9, MINOR + 3), "a test") == right


def test_a_missing_interpreter_is_asked_for(pythons: Path) -> None:
    with pytest.raises(SystemExit, match=r"found no Python 3\.9 to 3\.10 with venv for a test; .*versions\. HINT: "):
        environments.newest_interpreter(range(9, 11), "a test")
    with pytest.raises(SystemExit, match=r"put it on the PATH as python3\.9"):
        environments.make_managed("3.9")


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"4\.0 is no version of Python; expected one such as 3\.9"):
        environments.make_managed("4.0")


@pytest.mark.parametrize(
    ("here", "releases"),
    [
        ((10,), ["2.16", "2.17"]),
        ((11,), ["2.16", "2.19"]),
        ((9, 12, 13), ["2.16", "2.21"]),
        ((14,), ["2.20", "2.21"]),
    ],
)
def test_the_releases_are_the_oldest_and_the_newest_that_a_python_can_run(
    here: tuple[int, ...], releases: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "find_interpreter", lambda minors: set(minors) & set(here))
    assert environments.oldest_and_newest() == releases


def test_one_release_is_enough_where_it_is_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "find_interpreter", lambda minors: minors == range(10, 13))
    monkeypatch.setattr(environments, "CONTROLLERS", {"2.16": range(10, 13), "2.18": range(11, 14)})
    assert environments.oldest_and_newest() == ["2.16"]


def test_a_machine_without_a_python_for_any_is_told_so(pythons: Path) -> None:
    assert not pythons.exists()
    with pytest.raises(SystemExit, match=r"found no Python for any ansible-core of 2\.16, "):
        environments.oldest_and_newest()
