# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The code keeps to its layers; and the walker that says so sees what breaks them."""

from pathlib import Path

import pytest

from tests.gates.layers import COLLECTION, violations
from tests.gates.setup import ROOT

FILES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("plugins/**/*.py"))
UTILS = "plugins/module_utils"
CORE, HOST, MODULE = f"{UTILS}/_core/x.py", f"{UTILS}/_host/x.py", f"{UTILS}/_module/x.py"
RUNNER, ERRORS = f"{UTILS}/_host/runner.py", f"{UTILS}/_errors.py"
MODULES, FILTER, PROGRAM = "plugins/modules/x.py", "plugins/filter/x.py", f"{UTILS}/_program/x.py"

ALLOWED = [
    (CORE, "from .wal import Lsn"),
    (CORE, "from .._errors import Error"),
    (CORE, "from .. import _errors"),
    (
        CORE,
        "import json, re\nfrom datetime import datetime, timezone\ndatetime.fromisoformat('').astimezone(timezone.utc)",
    ),
    (CORE, "def plan(now): return now"),
    (HOST, "import os, time\nfrom .runner import CommandRunner\nfrom .._wal.names import Lsn\nos.fsync(3)"),
    (HOST, "import psycopg"),
    (HOST, "def f():\n    from .._program import pgark_wal"),
    (HOST, "open('x')"),
    (RUNNER, "import subprocess"),
    (
        MODULE,
        "from ansible.module_utils.basic import AnsibleModule\nfrom .._host import files\nfrom .._core import wal",
    ),
    (MODULES, f"from {COLLECTION}.{UTILS.replace('/', '.')}._module.spec import Spec"),
    (FILTER, "import jmespath\nfrom ..module_utils._wal.names import Lsn"),
    (PROGRAM, "import subprocess, os"),
]

FORBIDDEN = [
    # upwards
    (CORE, "from .._host.files import fsync", "_core must not import plugins.module_utils._host.files.fsync"),
    (CORE, "from .._host import files", "_core must not import plugins.module_utils._host.files"),
    (CORE, "from .. import _host", "_core must not import plugins.module_utils._host"),
    (CORE, f"import {COLLECTION}.plugins.module_utils._host.files", "_host.files"),
    (CORE, f"import {COLLECTION}.plugins.module_utils._host.runner as r", "_host.runner"),
    (HOST, "from .._module.spec import Spec", "_host must not import plugins.module_utils._module.spec.Spec"),
    (MODULE, "from ...modules.backup_info import main", "_module must not import plugins.modules.backup_info.main"),
    (MODULES, "from .backup_info import main", "modules must not import plugins.modules.backup_info.main"),
    (ERRORS, "from ._wal.names import Lsn", "_errors must not import plugins.module_utils._wal.names.Lsn"),
    (CORE, "from .._program import pgark_wal", "_core must not import plugins.module_utils._program.pgark_wal"),
    (MODULES, f"from {COLLECTION}.{UTILS.replace('/', '.')}._program.pgark_wal import main", "must not import"),
    (FILTER, "from ..module_utils._host.files import read", "filter must not import plugins.module_utils._host"),
    (PROGRAM, f"from {COLLECTION}.plugins.module_utils._wal.names import Lsn", "_program must not import"),
    (MODULE, "from ansible_collections.community.postgresql.plugins import x", "another collection"),
    # the wrong packages
    (CORE, "import ansible", "_core must not import ansible"),
    (CORE, "import psycopg", "_core must not import psycopg"),
    (HOST, "from ansible.module_utils.basic import AnsibleModule", "_host must not import ansible"),
    (MODULE, "import psycopg", "_module must not import psycopg"),
    (PROGRAM, "import psycopg", "_program must not import psycopg"),
    # wherever they stand
    (CORE, "def f():\n    import os", "x.py:2: _core must not import os"),
    (CORE, "try:\n    import psycopg\nexcept ImportError:\n    pass", "x.py:2: _core must not import psycopg"),
    (CORE, "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ansible", "x.py:3: _core must not import"),
    # what reaches out of the pure layer
    *((CORE, f"import {name}", f"_core must not import {name}") for name in
      ("os", "subprocess", "time", "socket", "shutil", "tempfile", "pathlib", "io", "glob", "random", "sys")),
    (CORE, "import os.path", "_core must not import os"),
    (CORE, "from os import environ", "_core must not import os"),
    (CORE, "open('x')", "_core must not use open"),
    (CORE, "print('x')", "_core must not use print"),
    (CORE, "from datetime import datetime\ndatetime.now()", "_core must not use datetime.datetime.now"),
    (CORE, "from datetime import datetime\nfactory = datetime.utcnow", "_core must not use datetime.datetime.utcnow"),
    (CORE, "import datetime as d\nd.datetime.now(d.timezone.utc)", "_core must not use datetime.datetime.now"),
    (CORE, "from datetime import date as day\nday.today()", "_core must not use datetime.date.today"),
    (CORE, "def f(t): return t.astimezone()", "_core must not use datetime.astimezone()"),
    (CORE, "import uuid\nuuid.uuid4()", "_core must not use uuid.uuid4"),
    (CORE, "from uuid import uuid4", "_core must not use uuid.uuid4"),
    # processes outside the runner
    (HOST, "import subprocess", "_host must not import subprocess"),
    (HOST, "from subprocess import run", "_host must not import subprocess"),
    (HOST, "import os\nos.system('x')", "_host must not use os.system"),
    (HOST, "import os as o\no.execvp('x', [])", "_host must not use os.execvp"),
    (HOST, "import os.path\nos.popen('x')", "_host must not use os.popen"),
    (HOST, "from os import posix_spawn", "_host must not use os.posix_spawn"),
    (MODULES, "import subprocess", "modules must not import subprocess"),
    # the machine outside of _host
    (MODULE, "import os", "_module must not import os"),
    (MODULES, "open('x')", "modules must not use open"),
    # imports that a walker cannot see
    (HOST, "import importlib\nimportlib.import_module('ansible')", "_host must not use importlib.import_module"),
    (HOST, "__import__('ansible')", "_host must not use __import__"),
    (CORE, "eval('1')", "_core must not use eval"),
    # no man's land
    ("plugins/module_utils/common.py", "", "belongs to no layer"),
    ("plugins/lookup/x.py", "", "belongs to no layer"),
]  # fmt: skip


@pytest.mark.parametrize("path", FILES)
def test_file_keeps_to_its_layer(path: str) -> None:
    assert violations(path, Path(ROOT, path).read_text()) == []


def test_the_walk_finds_the_layers() -> None:
    assert {CORE.rpartition("/")[0], HOST.rpartition("/")[0]} <= {path.rpartition("/")[0] for path in FILES}


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_walker_allows(path: str, source: str) -> None:
    assert violations(path, source) == []


@pytest.mark.parametrize(("path", "source", "complaint"), FORBIDDEN)
def test_walker_finds(path: str, source: str, complaint: str) -> None:
    assert [found for found in violations(path, source) if complaint in found]
