# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What setup_archiving.yml costs over many clusters: the run that sets them up, and the run with nothing to do."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import machine, profile
from tests.bench.report import Report, Table
from tests.support.playbooks import Playbooks, Run
from tests.support.postgres import Cluster, versions
from tests.support.sandbox import Sandbox

NAME = "setup-archiving"
TITLE = "setup_archiving.yml"
FORKS = 10
# So that many fit on a small machine.
SETTINGS = {"shared_buffers": "1MB", "max_connections": "10"}
EXPLANATION = f"""\
How long `setup_archiving.yml` takes over one cluster and over many: the first run, which lays out the repository,
configures archiving, restarts each server once and proves that a segment arrives; and the run after it, which finds
nothing to do and proves it again. The clusters and the controller are on one machine, with {FORKS} forks and the
connection `local`, so Ansible, the modules and the servers share its cores. What a run takes of a processor, all cores
together, is that of Ansible and of what it starts, without the servers."""


@dataclass(frozen=True)
class Measurement:
    """One first run and several runs that changed nothing, over that many clusters.

    One more run is `profiled`, as a whole and task by task, in seconds.
    """

    clusters: int
    first: Run
    again: list[Run]
    profiled: float
    tasks: dict[str, float]

    def row(self) -> list[str]:
        """Return the line of the table."""
        seconds = [run.seconds for run in self.again]
        median, processor = statistics.median(seconds), statistics.median(run.processor_seconds for run in self.again)
        first = [f"{self.first.seconds:.1f}", f"{self.first.seconds / self.clusters:.2f}"]
        again = [f"{median:.1f}", f"{min(seconds):.1f} to {max(seconds):.1f}", f"{median / self.clusters:.2f}"]
        return [str(self.clusters), *first, *again, f"{processor / self.clusters:.2f}"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--clusters", default="1,10,40", help="numbers of clusters (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="runs that change nothing (default: %(default)s)")


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> Report:
    """Measure each number of clusters on servers of its own."""
    with Sandbox() as sandbox:
        measurements = []
        for count in map(int, options.clusters.split(",")):
            say(f"starting {count} PostgreSQL {versions()[-1]} in {sandbox.root}")
            with _clusters(sandbox, count) as clusters:
                facts = machine.describe(sandbox, clusters[0])
                measurements.append(_measure(sandbox, clusters, options.repeats, say))
    return Report(TITLE, EXPLANATION, facts, [_results(measurements, options.repeats), _profile(measurements)])


@contextmanager
def _clusters(sandbox: Sandbox, count: int) -> Iterator[list[Cluster]]:
    with ExitStack() as stack:
        names = (f"c{number:02}" for number in range(1, count + 1))
        yield [stack.enter_context(sandbox.cluster(versions()[-1], name, settings=SETTINGS)) for name in names]


def _measure(sandbox: Sandbox, clusters: list[Cluster], repeats: int, say: Callable[[str], None]) -> Measurement:
    playbooks, count = Playbooks(sandbox), len(clusters)
    inventory = playbooks.inventory(*clusters)
    first = _run(playbooks, inventory)
    say(f"{count}: first run {first.seconds:.1f} s")
    again = []
    for _repeat in range(repeats):
        again.append(_in_vain(_run(playbooks, inventory)))
        say(f"{count}: no-op run {again[-1].seconds:.1f} s, {again[-1].processor_seconds:.1f} s of processor time")
    measured = sandbox.controller / f"profile-{count}"
    profiled = _in_vain(_run(playbooks, inventory, environment=profile.environment(measured)))
    return Measurement(count, first, again, profiled.seconds, profile.task_seconds(measured))


def _run(playbooks: Playbooks, inventory: Path, *, environment: dict[str, str] | None = None) -> Run:
    forks = ("--forks", str(FORKS))
    return playbooks.run("setup_archiving", inventory, *forks, environment=environment, timeout=3600)


def _in_vain(run: Run) -> Run:
    """Return the run, after a look that it is what is to be measured."""
    if run.changed:
        raise AssertionError(f"a run that was to change nothing changed something:\n{run.output}")
    return run


def _results(measurements: list[Measurement], repeats: int) -> Table:
    no_op = [f"no-op run, s (median of {repeats})", "from, to", "a host", "of a processor, a host"]
    columns = ["clusters", "first run, s", "a host", *no_op]
    return Table("Results", columns, [measurement.row() for measurement in measurements])


def _profile(measurements: list[Measurement]) -> Table:
    """Show the tasks that take a fiftieth of the time of the largest run, and the sum of the others."""
    largest = measurements[-1]
    shown = [task for task, seconds in largest.tasks.items() if seconds >= largest.profiled / 50]
    rows = [[task, *(f"{each.tasks[task]:.2f}" for each in measurements)] for task in shown]
    others = (sum(each.tasks.values()) - sum(each.tasks[task] for task in shown) for each in measurements)
    outside = (each.profiled - sum(each.tasks.values()) for each in measurements)
    rows.append([f"{len(largest.tasks) - len(shown)} other tasks", *(f"{seconds:.2f}" for seconds in others)])
    rows.append(["before, between and after the tasks", *(f"{seconds:.2f}" for seconds in outside)])
    columns = ["task", *(str(each.clusters) for each in measurements)]
    return Table("Where the time of a no-op run goes, in seconds, by number of clusters", columns, rows)
