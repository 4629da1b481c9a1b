# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rooms of the code, and what each may import and use. docs/decisions/0091-rooms-by-capability.md says why.

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
UTILS = "plugins/module_utils"
_MODULE = 3  # the slashes in the path of a module in a room


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Each room, and those that it may use; what stands further down uses what stands further up.
ROOMS = {
    "_wal": _names(""),
    "_values": _names("_wal"),
    "_host": _names("_values _wal"),
    "_plan": _names("_host"),
    "_configuration": _names("_host _plan _values"),
    "_server": _names("_configuration _host _values _wal"),
    "_repository": _names("_configuration _host _plan _program _values _wal"),
    "_cluster": _names("_configuration _host _repository _server _values _wal"),
    "_task": _names("_cluster _host _plan _repository _server _values"),
    "_previous_data": _names("_cluster _host _plan _values _wal"),
    "_windows": _names("_host _repository _server _task _values _wal"),
    "_archiving": _names("_cluster _host _plan _program _repository _server _values _wal _windows"),
    "_dependents": _names("_archiving _cluster _host _repository _server _task _values"),
    "_backup": _names("_archiving _configuration _host _plan _repository _server _values _wal _windows"),
    "_restore": _names(
        "_archiving _backup _cluster _configuration _dependents _host _plan _previous_data _repository _server _task "
        "_values _wal _windows"
    ),
    "_recovery": _names("_cluster _configuration _host _restore _server _task _values _wal"),
    "_rollback": _names(
        "_archiving _cluster _dependents _host _plan _previous_data _repository _restore _server _task _values"
    ),
    "_clone": _names(
        "_cluster _configuration _host _plan _repository _restore _rollback _server _task _values _wal _windows"
    ),
    "_asked": _names("_rollback _values _windows"),
    # PostgreSQL calls it, where no collection is installed: it has nothing but Python.
    "_program": _names(""),
}

# What touches the machine, besides `observe*` and `apply*`.
ACTING = (
    "_host/*",  # the machine itself
    "_server/connecting", "_server/driver", "_server/listening", "_server/server",  # a session
    "_cluster/control",  # starts and stops
    "_cluster/marks", "_cluster/ownership", "_cluster/staged",  # look and act under one lock
    "_configuration/check", "_configuration/rehearsal",  # ask the server's program
    "_windows/cache", "_windows/reader", "_windows/segments",  # read WAL while it is decided
    "_repository/delivery",  # what pgark-wal gives
    "_archiving/program",  # looks and installs
    "_backup/tarstream",
    "_restore/compared", "_restore/context", "_restore/held_control", "_restore/staging", "_restore/unpack",
    "_restore/wal_saver",
    "_rollback/journal",
    "_clone/identity",
)  # fmt: skip

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
class Kind:
    """What the files of one kind may import, and what they must not use; ``places`` are those of ours besides rooms.

    ``acting`` files may be imported only by who may touch the machine; those that are ``alone`` import none of ours.
    """

    paths: tuple[str, ...]
    places: frozenset[str] = frozenset()
    library: frozenset[str] = PURE
    packages: frozenset[str] = frozenset()
    forbidden: tuple[str, ...] = DYNAMIC + NEW_PROCESS + FILES
    acting: bool = False
    alone: bool = False


# The first kind whose path matches is a file's kind.
KINDS = {
    "errors": Kind((f"{UTILS}/_errors.py",), forbidden=DYNAMIC + FILES + CLOCK, alone=True),
    "program": Kind(
        (f"{UTILS}/_program/*",), library=EVERYTHING, forbidden=DYNAMIC, acting=True, alone=True
    ),
    "runner": Kind((f"{UTILS}/_host/runner.py",), library=EVERYTHING, forbidden=DYNAMIC, acting=True),
    "frame": Kind((f"{UTILS}/_task/*",), library=PURE | {"traceback"}, packages=_names("ansible"), acting=True),
    # What modules of a room share: it calls what looks, decides and acts, and does nothing of it itself.
    "calling": Kind((f"{UTILS}/_*/module.py", f"{UTILS}/_*/module_*.py"), acting=True),
    # What /proc says, read and judged.
    "tables": Kind((f"{UTILS}/_host/holders.py", f"{UTILS}/_host/mount_table.py"), forbidden=DYNAMIC + FILES + CLOCK),
    "acting": Kind(
        (f"{UTILS}/_*/observe*.py", f"{UTILS}/_*/apply*.py", *(f"{UTILS}/{path}.py" for path in ACTING)),
        library=EVERYTHING - PROCESSES, packages=_names("psycopg"), forbidden=DYNAMIC + NEW_PROCESS, acting=True,
    ),
    "pure": Kind((f"{UTILS}/_*/*.py",), forbidden=DYNAMIC + FILES + CLOCK),
    "modules": Kind(("plugins/modules/*.py",), packages=_names("ansible"), acting=True),
    "doc_fragments": Kind(("plugins/doc_fragments/*.py",)),
    # These run on the controller.
    "filter": Kind(("plugins/filter/*.py",), packages=_names("ansible jmespath")),
    "action": Kind(
        ("plugins/action/*.py",), _names("plugin_utils"), PURE | {"time"}, _names("ansible")
    ),
    # What action plugins share; a process of their own is among it.
    "plugin_utils": Kind(
        ("plugins/plugin_utils/*.py",), library=PURE | _names("os pathlib select signal time"),
        packages=_names("yaml"), forbidden=DYNAMIC + FILES,
    ),
}  # fmt: skip


def violations(path: str, source: str) -> list[str]:
    """Return what is wrong with a file, one sentence each; `path` is relative to the collection."""
    kind = kind_of(path)
    if kind is None or (room_of(path) or "_wal") not in ROOMS:
        return [f"{path}: belongs to no room"]
    tree = ast.parse(source, path)
    imports = list(_imports(path, tree))
    bound = {each.local: each.bound for each in imports}
    uses = [*_uses(tree, bound), *((each.line, each.dotted) for each in imports)]
    found = [(each.line, _import_fault(path, each.dotted)) for each in imports]
    found += [(line, _use_fault(KINDS[kind], dotted)) for line, dotted in uses]
    return [f"{path}:{line}: {room_of(path) or kind} {fault}" for line, fault in sorted(set(found)) if fault]


def kind_of(path: str) -> str | None:
    """Return the kind of a file, or of a module without its `.py`."""
    name = path if path.endswith(".py") else f"{path}.py"
    return next((kind for kind, what in KINDS.items() if any(fnmatch(name, each) for each in what.paths)), None)


def room_of(path: str) -> str | None:
    """Return the room that a file or a folder belongs to, None for what is in none."""
    parts = PurePosixPath(path).parts
    in_room = parts[:2] == ("plugins", "module_utils") and len(parts) > 2
    return parts[2] if in_room and not parts[2].startswith("_errors") else None


def used_rooms(path: str, source: str) -> set[str]:
    """Return the rooms besides its own that a file imports from."""
    imported = [each.dotted for each in _imports(path, ast.parse(source, path)) if _is_ours(each.dotted)]
    return {room for dotted in imported if (room := room_of(_path_of(dotted)))} - {str(room_of(path))}


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


def _is_ours(dotted: str) -> bool:
    return dotted.startswith(f"{COLLECTION}.")


def _path_of(dotted: str) -> str:
    """Return the path, without its `.py`, of a name below the collection."""
    return dotted[len(COLLECTION) + 1 :].replace(".", "/")


def _import_fault(path: str, dotted: str) -> str:
    """Return what is wrong with one import, or an empty string."""
    kind = KINDS[str(kind_of(path))]
    package = dotted.partition(".")[0]
    if package != "ansible_collections":
        return "" if package in kind.library | kind.packages else f"must not import {package}"
    if not _is_ours(dotted):
        return f"must not import {dotted}: another collection"
    return "" if _may_use(path, kind, _path_of(dotted)) else f"must not import {_path_of(dotted).replace('/', '.')}"


def _may_use(path: str, kind: Kind, imported: str) -> bool:
    """Tell whether a file may import another one of ours, or something in it."""
    own, other = room_of(path), room_of(imported)
    if kind.alone:
        return False
    if other is None:
        place = imported.split("/")
        return place[2:3] == ["_errors"] or place[1] in kind.places
    # `from x.y import z` names a module z of y, or a thing z in the module y.
    target = kind_of(imported if imported.count("/") == _MODULE else imported.rpartition("/")[0])
    if target is None or (KINDS[target].acting and not kind.acting):
        return False
    return other != "_program" if own is None else own == other or other in ROOMS[own]


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


def _use_fault(kind: Kind, dotted: str) -> str:
    """Return what is wrong with the use of a name, or an empty string."""
    return f"must not use {dotted}" if any(fnmatch(dotted, pattern) for pattern in kind.forbidden) else ""
