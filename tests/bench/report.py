# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark found, as text for a terminal and as a Markdown page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Table:
    """Rows of words under a heading; the first column is aligned to the left, numbers to the right."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Return the table in columns, as wide as they must be."""
        lines = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join([self.heading, *(f"  {_aligned(line, widths)}" for line in lines)])

    def markdown(self) -> str:
        """Return the table in Markdown, under a heading of the second level."""
        rule = ["---", *["---:"] * (len(self.columns) - 1)]
        # A task's name may have a bar in it.
        cells = ([word.replace("|", "\\|") for word in line] for line in (self.columns, rule, *self.rows))
        lines = (f"| {' | '.join(line)} |" for line in cells)
        return "\n".join([f"## {self.heading}", "", *lines])


@dataclass(frozen=True)
class Report:
    """What was measured, on what, and what came out; `facts` are versions and the like, by name."""

    title: str
    explanation: str
    facts: Mapping[str, str]
    tables: Sequence[Table]

    def text(self) -> str:
        """Return all of it but the explanations."""
        return "\n\n".join([self.title, "\n".join(self._facts()), *(table.text() for table in self.tables)])

    def page(self, command: str) -> str:
        """Return the page, which says how to repeat it."""
        today = date.today().isoformat()  # noqa: DTZ011 -- the day that it is here
        facts = "\n".join(["## Measured on", "", *(f"- {name}: {value}" for name, value in self.facts.items())])
        repeat = f"## Repeat it\n\n```console\n$ {command}\n```"
        tables = (table.markdown() for table in self.tables)
        return "\n\n".join([f"# {self.title}, {today}", self.explanation, *tables, facts, repeat]) + "\n"

    def _facts(self) -> Iterator[str]:
        width = max(map(len, self.facts))
        return (f"  {name.ljust(width)}  {value}" for name, value in self.facts.items())


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(line, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(word.rjust(width) for word, width in others)])
