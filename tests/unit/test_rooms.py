# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The code keeps to its rooms; and the walker that says so sees what breaks them."""

from pathlib import Path

import pytest

from tests.gates.rooms import ACTING, COLLECTION, ROOMS, UTILS, kind_of, room_of, used_rooms, violations
from tests.gates.setup import ROOT

FILES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("plugins/**/*.py"))
PURE, ACTS, CALLS = f"{UTILS}/_restore/x.py", f"{UTILS}/_restore/observe_x.py", f"{UTILS}/_restore/module_x.py"
FRAME, WAL = f"{UTILS}/_task/x.py", f"{UTILS}/_wal/x.py"
RUNNER, ERRORS = f"{UTILS}/_host/runner.py", f"{UTILS}/_errors.py"
MODULES, FILTER, PROGRAM = "plugins/modules/x.py", "plugins/filter/x.py", f"{UTILS}/_program/x.py"
OURS = f"{COLLECTION}.{UTILS.replace('/', '.')}"

ALLOWED = [
    (PURE, "from .steps import SaveWal"),
    (PURE, "from .._wal.names import Lsn"),
    (PURE, "from .._host.holders import check_unused"),
    (PURE, "from .._errors import Error"),
    (PURE, "from .. import _errors"),
    (
        PURE,
        "import json, re\nfrom datetime import datetime, timezone\ndatetime.fromisoformat('').astimezone(timezone.utc)",
    ),
    (PURE, "def plan(now): return now"),
    (ACTS, "import os, time\nfrom .._host.runner import CommandRunner\nfrom .._wal.names import Lsn\nos.fsync(3)"),
    (ACTS, "import psycopg"),
    (f"{UTILS}/_archiving/observe_x.py", "def f():\n    from .._program import pgark_wal"),
    (ACTS, "open('x')"),
    (RUNNER, "import subprocess"),
    (FRAME, "from ansible.module_utils.basic import AnsibleModule\nfrom .._host import files\nimport traceback"),
    (CALLS, "from .._task.task import Task\nfrom . import observe\nfrom .._host import files"),
    (MODULES, f"from {OURS}._task.task import Task\nfrom {OURS}._restore.apply import STEPS"),
    (FILTER, "import jmespath\nfrom ..module_utils._wal.names import Lsn"),
    ("plugins/action/x.py", "from ..plugin_utils.looking import Looking\nimport time"),
    (PROGRAM, "import subprocess, os"),
]

FORBIDDEN = [
    # another room than the table says
    (WAL, "from .._restore.plan import Plan", "_wal must not import plugins.module_utils._restore.plan.Plan"),
    (WAL, "from .._restore import plan", "_wal must not import plugins.module_utils._restore.plan"),
    (WAL, "from .. import _restore", "_wal must not import plugins.module_utils._restore"),
    (WAL, f"import {OURS}._restore.plan", "_restore.plan"),
    (f"{UTILS}/_backup/apply.py", "from .._restore.unpack import unpack", "_backup must not import"),
    (PURE, "from .._program import pgark_wal", "_restore must not import plugins.module_utils._program.pgark_wal"),
    (MODULES, f"from {OURS}._program.pgark_wal import main", "must not import"),
    (ERRORS, "from ._wal.names import Lsn", "errors must not import plugins.module_utils._wal.names.Lsn"),
    (PROGRAM, f"from {OURS}._wal.names import Lsn", "_program must not import"),
    (PROGRAM, f"from {OURS}._errors import Error", "_program must not import"),
    # what acts, from what does not
    (PURE, "from .._host.files import sync", "_restore must not import plugins.module_utils._host.files.sync"),
    (PURE, "from .._host import files", "_restore must not import plugins.module_utils._host.files"),
    (PURE, f"import {OURS}._host.runner as r", "_host.runner"),
    (PURE, "from .observe import look", "_restore must not import plugins.module_utils._restore.observe.look"),
    (PURE, "from . import unpack", "_restore must not import plugins.module_utils._restore.unpack"),
    (PURE, "from .._task.task import Task", "_restore must not import plugins.module_utils._task.task.Task"),
    (FILTER, "from ..module_utils._host.files import read", "filter must not import plugins.module_utils._host"),
    # upwards
    (CALLS, "from ...modules.backup_info import main", "_restore must not import plugins.modules.backup_info.main"),
    (MODULES, "from .backup_info import main", "modules must not import plugins.modules.backup_info.main"),
    (FRAME, "from ansible_collections.community.postgresql.plugins import x", "another collection"),
    # the wrong packages
    (PURE, "import ansible", "_restore must not import ansible"),
    (PURE, "import psycopg", "_restore must not import psycopg"),
    (ACTS, "from ansible.module_utils.basic import AnsibleModule", "_restore must not import ansible"),
    (CALLS, "from ansible.module_utils.basic import AnsibleModule", "_restore must not import ansible"),
    (FRAME, "import psycopg", "_task must not import psycopg"),
    (PROGRAM, "import psycopg", "_program must not import psycopg"),
    # wherever they stand
    (PURE, "def f():\n    import os", "x.py:2: _restore must not import os"),
    (PURE, "try:\n    import psycopg\nexcept ImportError:\n    pass", "x.py:2: _restore must not import psycopg"),
    (PURE, "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ansible", "x.py:3: _restore must not"),
    # what reaches out of what is pure
    *((PURE, f"import {name}", f"_restore must not import {name}") for name in
      ("os", "subprocess", "time", "socket", "shutil", "tempfile", "pathlib", "io", "glob", "random", "sys")),
    (PURE, "import os.path", "_restore must not import os"),
    (PURE, "from os import environ", "_restore must not import os"),
    (PURE, "open('x')", "_restore must not use open"),
    (PURE, "print('x')", "_restore must not use print"),
    (PURE, "from datetime import datetime\ndatetime.now()", "_restore must not use datetime.datetime.now"),
    (PURE, "from datetime import datetime\nfactory = datetime.utcnow", "must not use datetime.datetime.utcnow"),
    (PURE, "import datetime as d\nd.datetime.now(d.timezone.utc)", "_restore must not use datetime.datetime.now"),
    (PURE, "from datetime import date as day\nday.today()", "_restore must not use datetime.date.today"),
    (PURE, "def f(t): return t.astimezone()", "_restore must not use datetime.astimezone()"),
    (PURE, "import uuid\nuuid.uuid4()", "_restore must not use uuid.uuid4"),
    (PURE, "from uuid import uuid4", "_restore must not use uuid.uuid4"),
    (f"{UTILS}/_host/holders.py", "import os", "_host must not import os"),
    # processes outside the runner
    (ACTS, "import subprocess", "_restore must not import subprocess"),
    (ACTS, "from subprocess import run", "_restore must not import subprocess"),
    (ACTS, "import os\nos.system('x')", "_restore must not use os.system"),
    (ACTS, "import os as o\no.execvp('x', [])", "_restore must not use os.execvp"),
    (ACTS, "import os.path\nos.popen('x')", "_restore must not use os.popen"),
    (ACTS, "from os import posix_spawn", "_restore must not use os.posix_spawn"),
    (MODULES, "import subprocess", "modules must not import subprocess"),
    # the machine outside of what acts
    (CALLS, "import os", "_restore must not import os"),
    (FRAME, "import os", "_task must not import os"),
    (MODULES, "open('x')", "modules must not use open"),
    # imports that a walker cannot see
    (ACTS, "import importlib\nimportlib.import_module('ansible')", "_restore must not use importlib.import_module"),
    (ACTS, "__import__('ansible')", "_restore must not use __import__"),
    (PURE, "eval('1')", "_restore must not use eval"),
    # no man's land
    ("plugins/module_utils/common.py", "", "belongs to no room"),
    ("plugins/module_utils/_attic/x.py", "", "belongs to no room"),
    ("plugins/lookup/x.py", "", "belongs to no room"),
]  # fmt: skip


@pytest.mark.parametrize("path", FILES)
def test_file_keeps_to_its_room(path: str) -> None:
    assert violations(path, Path(ROOT, path).read_text()) == []


def test_no_room_is_used_in_a_circle() -> None:
    above: set[str] = set()
    for room, uses in ROOMS.items():
        assert uses - {"_program"} <= above, f"{room} uses what stands further down"
        above.add(room)


def test_the_table_has_what_is_used_and_no_more() -> None:
    used: dict[str, set[str]] = {room: set() for room in ROOMS}
    for path in FILES:
        room = room_of(path)
        if room is not None:
            used[room] |= used_rooms(path, Path(ROOT, path).read_text())
    assert used == {room: set(uses) for room, uses in ROOMS.items()}


def test_what_is_listed_as_acting_is_there() -> None:
    assert [path for path in ACTING if not list(ROOT.glob(f"{UTILS}/{path}.py"))] == []
    assert {kind_of(path) for path in FILES if room_of(path) == "_values"} == {"pure"}


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_walker_allows(path: str, source: str) -> None:
    assert violations(path, source) == []


@pytest.mark.parametrize(("path", "source", "complaint"), FORBIDDEN)
def test_walker_finds(path: str, source: str, complaint: str) -> None:
    assert [found for found in violations(path, source) if complaint in found]
