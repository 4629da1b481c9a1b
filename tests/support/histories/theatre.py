# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The place where histories are lived through: a prepared cluster, of which each begins with a copy."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from tests.support.clock import Clock
from tests.support.histories.ledger import Ledger
from tests.support.histories.life import TABLE, Life
from tests.support.histories.plan import Operation, draw, written
from tests.support.histories.verdicts import Difference, Judge, Verdict
from tests.support.history import SEGMENT_MEGABYTES, SETTINGS, slim
from tests.support.modules import Modules
from tests.support.postgres import Cluster
from tests.support.prepared import Prepared
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox


@dataclass(frozen=True)
class Outcome:
    """What came of a history: its verdicts, and the difference that ended it early."""

    verdicts: Sequence[Verdict]
    difference: Difference | None
    at: int | None = None


class Theatre:
    """Lives through one history after the other."""

    def __init__(self, sandbox: Sandbox, prepared: Prepared) -> None:
        self._sandbox, self._prepared = sandbox, prepared
        self._clock = Clock(sandbox)
        self._modules = Modules(sandbox, self._clock.environment)

    def play(self, version: str, operations: Sequence[Operation]) -> Outcome:
        """Live through a history until its end, or until the first difference."""
        self._clock.set(timedelta())
        options = {"settings": SETTINGS, "wal_segment_size": SEGMENT_MEGABYTES}
        with self._prepared.copy(version, "history", self._begin, **options) as (subject, ledger):
            judge = Judge(Life(subject, self._clock, copy.deepcopy(ledger)))
            for at, operation in enumerate(operations):
                try:
                    _do(judge, operation)
                except Difference as difference:
                    return Outcome(judge.verdicts, difference, at)
            return Outcome(judge.verdicts, None)

    def _begin(self, cluster: Cluster) -> tuple[Recoverable, Ledger]:
        """Bring a cluster to where every history begins: it archives, and has a table and a backup."""
        cluster.stop()
        cluster.bin_directory = self._clock.bin_directory(cluster.version)
        cluster.start()
        subject = Recoverable(self._sandbox, cluster, self._modules)
        subject.enable()
        slim(cluster)
        life = Life(subject, self._clock, Ledger())
        life.define(f"CREATE TABLE {TABLE} (n int PRIMARY KEY, t text)", {(TABLE, 0): ""})
        life.commit(rows=2)
        life.backup()
        return subject, life.ledger


def _do(judge: Judge, operation: Operation) -> None:
    how = {name: value for name, value in operation.items() if name != "verb"}
    actor = judge if hasattr(judge, operation["verb"]) else judge.life
    try:
        getattr(actor, operation["verb"])(**how)
    except Difference:
        raise
    except Exception as error:
        raise Difference("broken", f"{written(operation)}: {error}") from error


def drawn(seed: str) -> list[Operation]:
    """Draw the history of a seed."""
    return draw(random.Random(seed))
