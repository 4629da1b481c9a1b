# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/variables.md, the table of all variables, from the argument specifications and from what playbooks ask.

`make variables` writes it; a unit test holds that it is what would be written.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from tests.gates.setup import BUILD, ROOT

sys.path.insert(0, str(BUILD / "collections"))
from ansible_collections.pgark.postgres.plugins.module_utils._asked.asked import PLAYBOOKS, Variable
from ansible_collections.pgark.postgres.plugins.plugin_utils.specifications import options  # as above

PAGE = ROOT / "docs/variables.md"
MARKUP = re.compile(r"\b[COVMEUIB]\(([^)]*)\)")
HEAD = """# Variables

Made by `make variables` from the argument specifications of the roles; do not edit it by hand.

## Extra variables of the playbooks

They are given with `-e`, or by a survey, for one run. A blank answer counts as none. In an inventory these names mean
nothing; what an inventory may set is in the next section. An extra variable that looks like one of these, or of those
below, and is none, is refused. Every playbook takes `target_hosts`: the hosts to work on, instead of `postgres`.

| variable | playbooks | the role's variable, which an inventory may set | default |
|---|---|---|---|
"""
ROLES = """
## Variables of the roles

They stand in the inventory, or in a play that uses the role. Where a playbook has a short name for one, that counts
instead.
"""


def page() -> str:
    """Return the text of the page."""
    return HEAD + "".join(_extra_rows()) + ROLES + "".join(_roles())


def _extra_rows() -> Iterator[str]:
    found: dict[str, list[tuple[str, Variable]]] = {}
    for playbook, asked in PLAYBOOKS.items():
        for variable in asked.variables:
            found.setdefault(variable.name, []).append((playbook, variable))
    for name, uses in found.items():
        playbooks = ", ".join(f"`{playbook}.yml`" for playbook, _variable in uses)
        first = uses[0][1]
        also = f" (or `{first.alias}`)" if first.switch and first.alias != first.name else ""
        kept = ", ".join(dict.fromkeys(f"`{variable.role_name}`" for _playbook, variable in uses if variable.kept))
        yield _row(f"`{name}`{also}", playbooks, kept, _value(first.default))


def _roles() -> Iterator[str]:
    by_role: dict[str, dict[str, tuple[list[str], dict[str, Any]]]] = {}
    for role, entry, name, option in options():
        entries, _option = by_role.setdefault(role, {}).setdefault(name, ([], option))
        entries.append(entry)
    for role, variables in by_role.items():
        yield f"\n### [{role}](../roles/{role}/README.md)\n\n| variable | default | |\n|---|---|---|\n"
        every = {entry for entries, _option in variables.values() for entry in entries}
        for name, (entries, option) in variables.items():
            only = "" if "main" in entries else f"entry point {', '.join(entries)}: "
            said = only if every != {"main"} else ""
            default = "required" if option.get("required") else _value(option.get("default"))
            yield _row(f"`{name}`", default, said + _described(option["description"]))


def _described(text: str | list[str]) -> str:
    """Return the first paragraph, its markup as Markdown has it."""
    return MARKUP.sub(r"`\1`", text if isinstance(text, str) else text[0])


def _value(value: Any) -> str:
    if value in (None, ""):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _row(*cells: str) -> str:
    return f"| {' | '.join(_escaped(cells))} |\n"


def _escaped(cells: Iterable[str]) -> Iterator[str]:
    return (cell.replace("|", r"\|") for cell in cells)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
