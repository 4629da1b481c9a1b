# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers of the code, and what each may import and use. docs/decisions/0001-layers-and-one-direction.md says why.

`violations` reads one file's syntax tree, so it sees imports wherever they stand: in functions, in `try`, under
`TYPE_CHECKING`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import NamedTuple

COLLECTION = "ansible_collections.pgark.postgres"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Values in, values out: nothing here reaches a file, a clock, the environment or another process.
PURE = _names(
    "__future__ abc base64 binascii bisect collections contextlib dataclasses datetime enum fractions functools "
    "hashlib heapq itertools json math numbers operator re shlex string struct textwrap types typing uuid"
)
EVERYTHING = frozenset(sys.stdlib_module_names)
PROCESSES = _names("subprocess pty multiprocessing")

DYNAMIC = ("__import__", "eval", "exec", "importlib.import_module")  # imports that cannot be seen here
NEW_PROCESS = ("os.system", "os.popen", "os.exec*", "os.spawn*", "os.posix_spawn*", "os.fork*")
FILES = ("open", "input", "print")
CLOCK = ("datetime.*now", "datetime.*today", "*.astimezone()", "uuid.uuid1", "uuid.uuid4")


@dataclass(frozen=True)
class Layer:
    """What the files of one layer may import, and what they must not use."""

    paths: tuple[str, ...]
    layers: frozenset[str] = frozenset()
    library: frozenset[str] = PURE
    packages: frozenset[str] = frozenset()
    forbidden: tuple[str, ...] = DYNAMIC + NEW_PROCESS + FILES


# The first layer whose path matches is a file's layer.
LAYERS = {
    "_errors": Layer(("plugins/module_utils/_errors.py",), forbidden=DYNAMIC + FILES + CLOCK),
    "_core": Layer(("plugins/module_utils/_core/*",), _names("_core _errors"), forbidden=DYNAMIC + FILES + CLOCK),
    "runner": Layer(
        ("plugins/module_utils/_host/runner.py",), _names("_core _errors"), EVERYTHING, forbidden=DYNAMIC
    ),
    "_host": Layer(
        ("plugins/module_utils/_host/*",), _names("_host runner _core _program _errors"), EVERYTHING - PROCESSES,
        _names("psycopg"), DYNAMIC + NEW_PROCESS,
    ),
    "_module": Layer(
        ("plugins/module_utils/_module/*",), _names("_module _host runner _core _errors"), PURE | {"traceback"},
        _names("ansible"),
    ),
    "modules": Layer(("plugins/modules/*",), _names("_module _host runner _core _errors"), PURE, _names("ansible")),
    "doc_fragments": Layer(("plugins/doc_fragments/*",)),
    # These run on the controller.
    "filter": Layer(("plugins/filter/*",), _names("_core _errors"), PURE, _names("ansible jmespath")),
    "action": Layer(
        ("plugins/action/*",), _names("plugin_utils _core _errors"), PURE | {"time"}, _names("ansible")
    ),
    # What action plugins share; a process of their own is among it.
    "plugin_utils": Layer(
        ("plugins/plugin_utils/*",), library=PURE | _names("os pathlib select signal time"), packages=_names("yaml"),
        forbidden=DYNAMIC + FILES,
    ),
    # PostgreSQL calls these; they must start with nothing but Python.
    "_program": Layer(("plugins/module_utils/_program/*",), library=EVERYTHING, forbidden=DYNAMIC),
}  # fmt: skip


def violations(path: str, source: str) -> list[str]:
    """Return what is wrong with a file, one sentence each; `path` is relative to the collection."""
    name = layer_of(path)
    if name is None:
        return [f"{path}: belongs to no layer"]
    tree = ast.parse(source, path)
    imports = list(_imports(path, tree))
    bound = {each.local: each.bound for each in imports}
    uses = [*_uses(tree, bound), *((each.line, each.dotted) for each in imports)]
    found = [(each.line, _import_fault(LAYERS[name], each.dotted)) for each in imports]
    found += [(line, _use_fault(LAYERS[name], dotted)) for line, dotted in uses]
    return [f"{path}:{line}: {name} {fault}" for line, fault in sorted(set(found)) if fault]


def layer_of(path: str) -> str | None:
    """Return the name of the layer that a file or a module without its `.py` belongs to."""
    for name, layer in LAYERS.items():
        if any(fnmatch(path, pattern) or fnmatch(f"{path}.py", pattern) for pattern in layer.paths):
            return name
    return None


class Import(NamedTuple):
    """One imported thing: its absolute name, and the local name that is bound, to the same or to its top package."""

    line: int
    dotted: str
    local: str
    bound: str


def _imports(path: str, tree: ast.AST) -> Iterator[Import]:
    """Yield everything that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield Import(node.lineno, alias.name, alias.asname or top, alias.name if alias.asname else top)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                dotted = f"{_origin(path, node)}.{alias.name}"
                yield Import(node.lineno, dotted, alias.asname or alias.name, dotted)


def _origin(path: str, node: ast.ImportFrom) -> str:
    """Return the absolute name of what `from ... import` names, resolving leading dots as Python does."""
    if not node.level:
        return node.module or ""
    package = PurePosixPath(path).parts[: -node.level]
    return ".".join((COLLECTION, *package, *filter(None, [node.module])))


def _import_fault(layer: Layer, dotted: str) -> str:
    """Return what is wrong with one import, or an empty string."""
    package = dotted.partition(".")[0]
    if package == "ansible_collections":
        return _layer_fault(layer, dotted)
    allowed = layer.library | layer.packages
    return "" if package in allowed else f"must not import {package}"


def _layer_fault(layer: Layer, dotted: str) -> str:
    """Return what is wrong with one import from a collection, or an empty string."""
    if not dotted.startswith(f"{COLLECTION}."):
        return f"must not import {dotted}: another collection"
    path = dotted[len(COLLECTION) + 1 :].replace(".", "/")
    # `from x.y import z` names a module z of y, or a thing z in the module y.
    target = layer_of(path.rpartition("/")[0]) or layer_of(path)
    return "" if target in layer.layers else f"must not import {dotted[len(COLLECTION) + 1 :]}"


def _uses(tree: ast.AST, bound: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every name and attribute that is read, as the imports resolve it."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)) and (dotted := _dotted(node, bound)):
            yield node.lineno, dotted
        elif isinstance(node, ast.Call) and _local_zone(node):
            yield node.lineno, "datetime.astimezone()"


def _dotted(node: ast.expr, bound: dict[str, str]) -> str | None:
    """Return the dotted name of `a.b.c` when `a` was imported or is a bare name, else None."""
    if isinstance(node, ast.Name):
        return bound.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value, bound)):
        return f"{owner}.{node.attr}"
    return None


def _local_zone(node: ast.Call) -> bool:
    """Tell whether a call is `x.astimezone()`, which reads the machine's time zone."""
    return isinstance(node.func, ast.Attribute) and node.func.attr == "astimezone" and not node.args + node.keywords


def _use_fault(layer: Layer, dotted: str) -> str:
    """Return what is wrong with the use of a name, or an empty string."""
    return f"must not use {dotted}" if any(fnmatch(dotted, pattern) for pattern in layer.forbidden) else ""
