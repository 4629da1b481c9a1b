# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done as root on a machine, by the machine's own word.

Ansible's modules say in the journal what they were asked to do; sudo says which commands it ran. What admin did before
is not in the journal: his plays say ansible_no_target_syslog. The journal would know whose session a message comes from
only if the module were still at work when it looks.
"""

from __future__ import annotations

import json
import re

from tests.molecule.machines import Machine

SERVICE_CONTROL = re.compile(r"(/usr)?/bin/systemctl (start|stop|restart) postgresql@\d+-\w+")


def modules_by_root(machine: Machine) -> list[tuple[str, str]]:
    """Return the names, without their collections, and the arguments of the modules that root ran for deploy."""
    machine.run("journalctl", "--sync")
    journal = machine.lines("journalctl", "--output=json", "--no-pager", "_UID=0")
    entries = [json.loads(line) for line in journal]
    return [
        (entry["SYSLOG_IDENTIFIER"].rpartition(".")[2], entry["MESSAGE"])
        for entry in entries
        if entry.get("SYSLOG_IDENTIFIER", "").startswith("ansible-")
    ]


def commands(machine: Machine, user: str) -> list[str]:
    """Return the commands that deploy asked sudo to run as a user; refused ones, too."""
    log = machine.run("cat", "/var/log/sudo-deploy.log").splitlines()
    entries = [re.search(r"USER=(\w+) ; COMMAND=(.*)", line) for line in log]
    return [entry[2] for entry in entries if entry and entry[1] == user]
