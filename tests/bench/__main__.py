# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run benchmarks: python -m tests.bench [BENCHMARK [OPTIONS]]."""

from __future__ import annotations

import argparse
import signal
import sys
from datetime import date
from types import ModuleType

from tests.bench import reading, restore, setup_archiving, wal
from tests.bench.report import Report
from tests.support.sandbox import CHECKOUT

# A benchmark is a module with NAME, TITLE, `add_options(parser)` and `measure(options, say)`, which returns a Report.
BENCHMARKS: dict[str, ModuleType] = {module.NAME: module for module in (setup_archiving, restore, reading, wal)}
PAGES = CHECKOUT / "docs" / "benchmarks"


def main() -> int:
    """Run the chosen benchmark, or all with what they have for options by themselves."""
    parser = _parser()
    arguments = sys.argv[1:]
    chosen = [arguments] if arguments else [[name] for name in BENCHMARKS]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for words in chosen:
        options = parser.parse_args(words)
        report: Report = BENCHMARKS[options.benchmark].measure(options, say)
        print(f"\n{report.text()}\n")
        if options.page:
            _write(report, options.benchmark, words)
    return 0


def say(text: str) -> None:
    """Print one line of progress, apart from the results."""
    print(f"bench | {text}", file=sys.stderr, flush=True)


def _write(report: Report, name: str, words: list[str]) -> None:
    path = PAGES / f"{date.today().isoformat()}-{name}.md"  # noqa: DTZ011 -- the day that it is here
    PAGES.mkdir(parents=True, exist_ok=True)
    path.write_text(report.page(f"make bench BENCH_ARGS='{' '.join(words)}'"), encoding="utf-8")
    say(f"wrote {path.relative_to(CHECKOUT)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="run benchmarks; all of them by default")
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    for name, module in BENCHMARKS.items():
        benchmark = benchmarks.add_parser(name, help=module.TITLE)
        benchmark.add_argument("--no-page", dest="page", action="store_false", help="print the results only")
        module.add_options(benchmark)
    return parser


if __name__ == "__main__":
    sys.exit(main())
