# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command, such as the integration tests, with another ansible-core and another Python on the managed side.

    python -m tests.gates.compat --ansible-core 2.16 --managed 3.9 COMMAND...

tests/support reads which ones from the environment.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from tests.gates.environments import NEWEST, make_controller, make_managed, say


def main() -> int:
    """Make both environments, and run the command with them; returns its exit status."""
    options = _parser().parse_args()
    try:
        controller = make_controller(options.ansible_core)
        managed = make_managed(options.managed)
    except subprocess.CalledProcessError as error:
        say(f"FAILED: {' '.join(map(str, error.cmd))} (exit status {error.returncode})")
        return 1
    chosen = {"PGARK_TEST_ANSIBLE": str(controller / "bin/ansible-playbook"), "PGARK_TEST_PYTHON": str(managed)}
    say(" ".join(f"{name}={value}" for name, value in chosen.items()))
    return subprocess.run(options.command, env=os.environ | chosen, check=False).returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.gates.compat", description=__doc__.splitlines()[0])
    parser.add_argument("--ansible-core", metavar="RELEASE", required=True, help=f"such as 2.16, or {NEWEST}")
    parser.add_argument("--managed", metavar="VERSION", required=True, help="Python of the managed side, such as 3.9")
    parser.add_argument("command", nargs="+", help="what to run")
    return parser


if __name__ == "__main__":
    sys.exit(main())
