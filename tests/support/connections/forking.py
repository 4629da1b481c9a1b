# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection of tests: as `local`, but modules are forked by a process that has imported what they need.

What is run is what Ansible has packed and written for it, as the user that it was to become. PGARK_TEST_FORKS has the
addresses of fork servers by their users' names, and without it this is `local`.
"""

from __future__ import annotations

import json
import os
import pwd
import re
from typing import Any

from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: forking
short_description: Run modules on this host without the start of Python
description: As C(local), which see.
author: the pgark.postgres contributors
options:
  become_success_timeout:
    description: How many seconds becoming another user may take.
    type: int
    default: 10
  become_strip_preamble:
    description: Whether what is said before that is left out.
    type: bool
    default: true
extends_documentation_fragment: connection_pipelining
"""
# The start of a module: the interpreter is the word before it, and an environment of its own would be before that.
MODULE = re.compile(r"""(?:; |')(?P<python>/[^ ']+/bin/python[0-9.]*) (?P<file>/[^ ']+/AnsiballZ_\w+\.py)\b""")
RUN = "import runpy, sys; runpy.run_path(sys.argv[0], run_name='__main__')"


class Connection(Local):  # type: ignore[misc]  # ansible-core has no annotations
    """Runs commands on this host."""

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command, and return its status and what it has written."""
        servers = json.loads(os.environ.get("PGARK_TEST_FORKS", "{}"))
        user = self.default_user if self.become is None else self.become.get_option("become_user")
        module = MODULE.search(cmd)
        if module is None or in_data is not None or user not in servers:
            ended: tuple[int, bytes, bytes] = super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
            return ended
        from tests.support import forking  # noqa: PLC0415 -- it is known to who was forked, not to who was started

        done = forking.run(
            servers[user],
            [module["file"]],
            program=RUN,
            stdin="",
            environment=os.environ | _of_user(user),
            directory=os.getcwd(),
            timeout=3600,
        )
        return done.returncode, done.stdout.encode(), done.stderr.encode()


def _of_user(name: str) -> dict[str, Any]:
    """Give what su sets, and nothing for root."""
    entry = pwd.getpwnam(name)
    own = {"HOME": entry.pw_dir, "SHELL": "/bin/sh"}
    return own if entry.pw_uid == 0 else own | {"USER": name, "LOGNAME": name}
