# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of the collection's roles, as their argument specifications have them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).parents[2] / "roles"


@lru_cache(maxsize=1)
def role_variables() -> frozenset[str]:
    """Give the names of all variables of all roles."""
    return frozenset(name for _role, _entry, name, _option in options())


def options() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield role, entry point, name and specification of every variable."""
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        for entry, specification in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].items():
            for name, option in specification.get("options", {}).items():
                yield path.parents[1].name, entry, name, option
