# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is missing for containers is asked for by name, never passed over."""

from pathlib import Path

import pytest

from tests.molecule import engine


def test_an_unknown_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLECULE_ENGINE", "zeppelin")
    with pytest.raises(engine.Unusable, match="there is no engine zeppelin"):
        engine.provide()


def test_missing_packages_are_named_where_they_cannot_be_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("MOLECULE_ENGINE", "docker")
    monkeypatch.setenv("MOLECULE_BASE_IMAGE", "debian:%s")
    monkeypatch.setattr(engine.os, "getuid", lambda: 1000)
    with pytest.raises(engine.Unusable, match=r"HINT: install openssh-client docker\.io"):
        engine.provide()
