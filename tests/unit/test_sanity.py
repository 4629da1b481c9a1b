# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make sanity` gives to ansible-test, and what it says of what it could not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gates import sanity


def test_every_pip_that_an_ansible_test_may_want_is_known() -> None:
    source = """
    default_packages = dict(
        pip='23.1.2',
    override_packages = {
        '3.6': dict(
            pip='21.3.1',  # 22.0 requires Python 3.7+
    """
    assert sanity.wanted_pips(source) == ["23.1.2", "21.3.1"]


def test_an_ansible_test_that_hides_its_pip_is_not_run() -> None:
    with pytest.raises(SystemExit, match="cannot tell which pip ansible-test wants"):
        sanity.wanted_pips("pip = None")


def test_an_environment_says_which_versions_it_has(tmp_path: Path) -> None:
    (tmp_path / "lib/python3.13/site-packages/ansible_core-2.21.5.dist-info").mkdir(parents=True)
    controller = sanity.Controller("2.21", tmp_path)
    assert (controller.version, controller.python) == ("2.21.5", "3.13")


@pytest.mark.parametrize(
    ("releases", "old_python", "expected"),
    [
        (["2.16", "2.21"], True, []),
        (["2.16", "2.21"], False, ["modules on Python 3.9"]),
        (["2.16", "2.19"], False, ["ansible-core 2.20", "ansible-core 2.21", "modules on Python 3.9"]),
        (["2.18", "2.21"], True, ["ansible-core 2.16", "ansible-core 2.17"]),
    ],
)
def test_what_no_python_here_can_run_is_named(
    releases: list[str], old_python: bool, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sanity, "find_interpreter", lambda _minors: old_python)
    assert sanity.not_tried(releases) == expected
