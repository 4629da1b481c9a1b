# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module ships, and which steps it may plan, both read from the source. docs/decisions/0087 says why.

Ansible ships what a module imports, wherever the import stands (``ModuleDepFinder`` in
``ansible/executor/module_common.py``). A module may plan each step that is named by code that it can come to: from its
functions, by every name that they mention, to whole functions and whole classes. That is too much rather than too
little: only where a step is asked for its kind, or in an annotation, it is not made.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.gates.rooms import COLLECTION
from tests.gates.setup import ROOT

UTILS = "plugins.module_utils"


class Place(NamedTuple):
    """A function, a class or a variable at the top of a file, which goes by its dotted name."""

    file: str
    name: str


def file_of(dotted: str) -> Path | None:
    """Give the file of a dotted name below the collection, None for what is no file."""
    path = ROOT / dotted.replace(".", "/")
    return next((found for found in (path.with_suffix(".py"), path / "__init__.py") if found.is_file()), None)


@cache
def tree_of(file: str) -> ast.Module:
    """Parse a file."""
    path = file_of(file)
    assert path is not None, file
    return ast.parse(path.read_text(), str(path))


@cache
def imported(file: str) -> dict[str, Place]:
    """Give what a file imports of the collection, by local names; a file itself has the empty name."""
    found = {}
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.ImportFrom) and (origin := _origin(file, node)) is not None:
            for alias in node.names:
                whole = f"{origin}.{alias.name}"
                place = Place(whole, "") if file_of(whole) else Place(origin, alias.name)
                found[alias.asname or alias.name] = place
    return found


def _origin(file: str, node: ast.ImportFrom) -> str | None:
    """Give the dotted name, below the collection, of what is imported from; None for what is not of it."""
    if node.level:
        return ".".join([*file.split(".")[: -node.level], *filter(None, [node.module])])
    prefix = f"{COLLECTION}."
    return node.module.removeprefix(prefix) if node.module and node.module.startswith(prefix) else None


def shipped(file: str) -> set[str]:
    """Give the files that are shipped with one, by their dotted names, itself included."""
    found: set[str] = set()
    left = [file]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += [place.file for place in imported(one).values() if file_of(place.file)]
    return found


@cache
def _units(file: str) -> dict[str, ast.stmt]:
    """Give what stands at the top of a file, by name."""
    found: dict[str, ast.stmt] = {}
    for node in tree_of(file).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    return found


def _mentions(node: ast.AST) -> Iterator[ast.Name | ast.Attribute]:
    """Yield the names that a piece of code mentions, but not where it asks for a kind, or annotates."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
        yield from _mentions(node.args[0])
        return
    if isinstance(node, (ast.Name, ast.Attribute)):
        yield node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _mentions(child)


def _resolved(file: str, node: ast.Name | ast.Attribute) -> Place | None:
    """Tell which unit a name means, of this file or of another one, wherever that has it from."""
    place = None
    if isinstance(node, ast.Name):
        place = Place(file, node.id)
    elif isinstance(node.value, ast.Name) and (whole := imported(file).get(node.value.id)) and not whole.name:
        place = Place(whole.file, node.attr)
    while place is not None and place.name not in _units(place.file):
        place = imported(place.file).get(place.name)
        place = place if place is None or place.name else None
    return place


def mentioned(place: Place) -> set[Place]:
    """Give the units that one mentions."""
    unit = _units(place.file).get(place.name)
    return set() if unit is None else {found for node in _mentions(unit) if (found := _resolved(place.file, node))}


def applies(place: Place) -> bool:
    """Tell whether a function has a plan carried out (``task.apply``)."""
    unit = _units(place.file).get(place.name)
    return isinstance(unit, ast.FunctionDef) and any(
        isinstance(node, ast.Attribute) and node.attr == "apply" and isinstance(node.value, ast.Name)
        for node in ast.walk(unit)
    )


def appliers() -> list[str]:
    """Give the files that have plans carried out, each with the ``STEPS`` that it names."""
    files = [*ROOT.glob("plugins/modules/*.py"), *ROOT.glob("plugins/module_utils/_*/module*.py")]
    names = sorted(str(path.relative_to(ROOT).with_suffix("")).replace("/", ".") for path in files)
    return [name for name in names if any(applies(Place(name, unit)) for unit in _units(name))]


def _applies_steps(file: str) -> bool:
    """Tell whether a file carries steps out: it makes none."""
    return file.rpartition(".")[2].startswith("apply")


def reached(file: str) -> set[Place]:
    """Give the units that the functions of a file can come to; others that have plans carried out see to theirs."""
    found: set[Place] = set()
    left = [Place(file, name) for name, unit in _units(file).items() if isinstance(unit, ast.FunctionDef)]
    while left:
        place = left.pop()
        if place in found or _applies_steps(place.file) or (place.file != file and applies(place)):
            continue
        found.add(place)
        left += mentioned(place)
    return found


def steps_of(places: Iterable[Place], kinds: Iterable[type]) -> set[type]:
    """Give those of the kinds of steps that are among units; of a step itself nothing but its name counts."""
    named = {Place(kind.__module__.removeprefix(f"{COLLECTION}."), kind.__name__): kind for kind in kinds}
    return {named[place] for place in places if place in named}
