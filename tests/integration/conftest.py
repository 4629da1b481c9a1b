# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for tests against real servers: each test gets a cluster of its own, of the newest PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.history import Histories, History
from tests.support.modules import Modules
from tests.support.playbooks import Playbooks
from tests.support.postgres import Cluster, versions
from tests.support.prepared import Prepared
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox

# What takes long to make and is made once in a process, for all tests that it runs with it.
SHARED = ("history", "life", "fleet", "source", "settled")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in this hook, too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that share something in one process, and begin with those of playbooks, which take longest."""
    for item in items:
        for name in sorted(_fixtures(item).intersection(SHARED)):
            place = "" if name == "history" else item.path.name
            item.add_marker(pytest.mark.xdist_group(f"{name} {place} {_version(item)}"))
    items.sort(key=lambda item: "playbooks" not in _fixtures(item))


def _version(item: pytest.Item) -> str:
    called = getattr(item, "callspec", None)
    return str(called.params.get("version", "")) if called else ""


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Provide the directory that everything of this session lives in."""
    with Sandbox(in_memory=True) as created:
        yield created


@pytest.fixture(scope="module", params=versions(), ids=lambda version: f"pg{version}")
def version(request: pytest.FixtureRequest) -> str:
    """Return the PostgreSQL version under test: the newest, unless a mark of tests.support.marks names others."""
    return str(request.param)


@pytest.fixture(scope="session")
def prepared(sandbox: Sandbox) -> Prepared:
    """Keep clusters that were brought to a state, for tests to begin with a copy of one."""
    return Prepared(sandbox)


@pytest.fixture
def cluster(prepared: Prepared, version: str) -> Iterator[Cluster]:
    """Provide a running cluster that nothing has been done to."""
    with prepared.copy(version, "empty", lambda cluster: cluster) as created:
        yield created


@pytest.fixture
def repository(cluster: Cluster) -> Path:
    """Return where the cluster's repository will be; nothing is there yet."""
    return cluster.home / "repository"


@pytest.fixture(scope="session")
def modules(sandbox: Sandbox) -> Modules:
    """Run modules of the collection directly."""
    return Modules(sandbox)


@pytest.fixture
def recoverable(prepared: Prepared, sandbox: Sandbox, version: str, modules: Modules) -> Iterator[Recoverable]:
    """Provide a running cluster that archives into a repository of its own."""

    def enable(cluster: Cluster) -> Recoverable:
        subject = Recoverable(sandbox, cluster, modules)
        subject.enable()
        return subject

    with prepared.copy(version, "archiving", enable) as subject:
        yield subject


@pytest.fixture(scope="session")
def histories(sandbox: Sandbox, modules: Modules) -> Iterator[Histories]:
    """Keep the histories of several timelines, which take a while to write."""
    with Histories(sandbox, modules) as created:
        yield created


@pytest.fixture
def history(histories: Histories, version: str) -> History:
    """Provide a history of six timelines, the same for all tests: it is only to be read from."""
    return histories.of(version)


@pytest.fixture(scope="session")
def playbooks(sandbox: Sandbox) -> Playbooks:
    """Run playbooks of the collection."""
    return Playbooks(sandbox, forked=True)


@pytest.fixture
def inventory(playbooks: Playbooks, cluster: Cluster) -> Path:
    """Write the inventory that describes the cluster."""
    return playbooks.inventory(cluster)
