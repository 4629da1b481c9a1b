# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that belong to the project."""

from __future__ import annotations

import subprocess

from tests.gates.setup import ROOT


def project_files(*patterns: str) -> list[str]:
    """Return the files that git tracks or would track, relative to the checkout; all, or those that match a pattern."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    # A file that was removed stays listed until the removal is committed; a repository in the checkout is a directory.
    return sorted({name for name in listed.split("\0") if name and (ROOT / name).is_file()})
