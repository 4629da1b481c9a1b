# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters that are brought to a state once, stopped and put aside, and copied for each test that begins there.

A copy lies where the original lay and uses its port, so nothing in it has to be changed: there is one at a time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.support.postgres import Cluster
from tests.support.sandbox import Sandbox

Told = TypeVar("Told")


class Prepared:
    """The clusters of a session that were put aside, by PostgreSQL's version and the name of their state."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._kept: dict[tuple[str, str], tuple[Cluster, Path, Any]] = {}

    @contextmanager
    def copy(self, version: str, state: str, write: Callable[[Cluster], Told], **options: Any) -> Iterator[Told]:
        """Copy a cluster to which `write` was done, start it, and provide what that returned; then remove it.

        It is created with the options of `Sandbox.cluster`.
        """
        if (version, state) not in self._kept:
            self._kept[version, state] = self._prepare(version, state, write, options)
        cluster, original, told = self._kept[version, state]
        with cluster:
            # What was remembered of the WAL of another copy, whose segments have the same names.
            shutil.rmtree(self._sandbox.home / ".cache", ignore_errors=True)
            self._sandbox.run(["cp", "-aT", original, cluster.home])
            cluster.start()
            yield told

    def _prepare(
        self, version: str, state: str, write: Callable[[Cluster], Told], options: Mapping[str, Any]
    ) -> tuple[Cluster, Path, Told]:
        with self._sandbox.cluster(version, **options) as cluster:
            told = write(cluster)
            cluster.stop()
            cluster.log_file.unlink()
            original = self._sandbox.directory(self._sandbox.home / "prepared") / f"{version} {state}"
            cluster.home.rename(original)
        return cluster, original, told
