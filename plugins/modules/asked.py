#!/usr/bin/python
# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# This is documentation: the action plugin of this name does the work, on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: asked
short_description: Read what a person asked a playbook for
version_added: 0.1.0
author:
  - The pgark.postgres contributors (@pgark)
description:
  - Reads the extra variables of this run, from the command line or a survey, and gives their values, checked and
    normalised. The roles of the collection begin with it; it works on the controller, before any host is looked at.
  - A blank answer counts as none. Where none was given, what the inventory says counts if it may, else the default.
  - C(force) and C(fleet), which take a safety off, count for one run only. In an inventory they do nothing.
  - An extra variable that is none of the collection's and looks like one, such as C(target_tme), is refused, and the
    nearest one is named.
options:
  playbook:
    description: The playbook whose extra variables are read.
    type: str
    required: true
    choices: [base_backup, pitr_finalize, pitr_restore, pitr_rollback, previous_data, recovery_windows, setup_archiving]
  by_playbook:
    description:
      - Whether that playbook is running. Its extra variables have short names then, such as C(target_time). Otherwise
        the variables of the role count, such as C(pitr_restore_target_time).
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode, and does the same there.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: Read what was asked for
  pgark.postgres.asked:
    playbook: pitr_restore
    by_playbook: true
  register: asked

- name: Say whether several clusters may be restored
  ansible.builtin.debug:
    msg: "{{ asked.variables.fleet }}"
"""

RETURN = r"""
variables:
  description:
    - The value of each of the playbook's extra variables, by its short name. Text that was not given is empty.
  returned: success
  type: dict
  sample: {"target_time": "2026-09-15T14:30:00Z", "target_inclusive": true, "force": false}
"""
