# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what a person asked for in this run, before any host is looked at.

Nobody but the run itself knows which of its variables came from the command line or a survey, so this works on the
controller. AWX and ansible-runner hand surveys on as extra variables, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars

from ..module_utils._asked.asked import (
    PLAYBOOKS,
    Answer,
    Playbook,
    Variable,
    check_fleet,
    check_target,
    is_blank,
    read_answers,
)
from ..module_utils._asked.lookalikes import check_idle, check_names, idle, known
from ..module_utils._errors import Error
from ..module_utils._values.hints import hint_for, message_for
from ..plugin_utils.specifications import role_variables

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is not typed
    """Give the values of a playbook's extra variables, or fail with what is wrong with them."""

    _requires_connection = False
    _VALID_ARGS = frozenset(("playbook", "by_playbook"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read and check; what is wrong for all hosts is told once, for the first of them."""
        super().run(tmp, task_vars)
        known_variables = task_vars or {}
        _ignored, arguments = self.validate_argument_spec(
            {
                "playbook": {"type": "str", "required": True, "choices": sorted(PLAYBOOKS)},
                "by_playbook": {"type": "bool", "default": False},
            }
        )
        asked = Asked(self, arguments["playbook"], arguments["by_playbook"], known_variables)
        first = known_variables.get("ansible_play_hosts_all", [])[:1]
        try:
            asked.check_run()
        except Error as error:
            if known_variables.get("inventory_hostname") not in first:
                return {"failed": True, "msg": f"not begun, for the reason that is given for {first[0]}"}
            return {"failed": True, "msg": asked.said(error)}
        try:
            return {"changed": False, "variables": asked.values()}
        except Error as error:
            return {"failed": True, "msg": asked.said(error)}

    def extra_variables(self) -> Mapping[str, Any]:
        """Give the run's extra variables, as they were given."""
        extra: Mapping[str, Any] = load_extra_vars(self._loader)
        return extra

    def evaluated(self, value: Any) -> Any:
        """Give the value of a variable, templates in it evaluated for this host."""
        return plain(self._templar.template(value))


class Asked:
    """What was asked of one playbook, for one host."""

    def __init__(self, action: ActionModule, name: str, by_playbook: bool, task_vars: Mapping[str, Any]) -> None:
        self._action = action
        self._name = name
        self._playbook: Playbook = PLAYBOOKS[name]
        self._by_playbook = by_playbook
        self._variables = task_vars
        self._extra = action.extra_variables()
        self._inventory: Mapping[str, Any] = task_vars["hostvars"].raw_get(task_vars["inventory_hostname"])

    def check_run(self) -> None:
        """Refuse what is wrong whatever the host."""
        if self._extra:
            names = known(self._playbook, role_variables())
            check_names(self._extra, names, self._by_playbook)
            if self._by_playbook:
                self._tell_idle(idle(self._extra, names))
        fleet = self._variable("fleet")
        allowed = fleet is not None and self._answered(fleet) is not None and self.values_of([fleet])["fleet"]
        name = "fleet=true" if self._by_playbook else "pitr_restore_fleet: true"
        only_with = self._variable(self._playbook.only_with)
        if only_with is not None and self._answered(only_with) is None:
            return
        check_fleet(self._playbook, self._variables.get("ansible_play_hosts_all", []), bool(allowed), name)

    def values(self) -> dict[str, Any]:
        """Give the values, and refuse a target that is none."""
        values = self.values_of(self._playbook.variables)
        check_target(self._playbook, values)
        return values

    def values_of(self, variables: Collection[Variable]) -> dict[str, Any]:
        """Read some of the variables."""
        answers = {variable.name: answer for variable in variables if (answer := self._answered(variable)) is not None}
        return read_answers(Playbook(self._playbook.role, tuple(variables)), answers)

    def said(self, error: Error) -> str:
        """Write an error in the words of whoever reads it."""
        caller, module = ("playbook" if self._by_playbook else "role"), _MODULES.get(self._playbook.role, "")
        message = message_for(error.message, module, caller)
        return str(Error(message, None if error.hint is None else hint_for(error.hint, module, caller)))

    def _variable(self, name: str) -> Variable | None:
        return next((variable for variable in self._playbook.variables if variable.name == name), None)

    def _answered(self, variable: Variable) -> Answer | None:
        """Give the first answer that is not blank."""
        for name in variable.names(self._by_playbook, self._given(variable)):
            if name in self._variables:
                value = self._action.evaluated(self._variables[name])
                if not is_blank(value):
                    return Answer(name, value)
        return None

    def _given(self, variable: Variable) -> list[str]:
        """Name what was given for this run; of a switch that an inventory sets, say that it does nothing there."""
        names = dict.fromkeys((variable.name, variable.alias, variable.role_name))
        given = [name for name in names if name in self._variables and not self._is_of_the_inventory(name)]
        for name in [] if not variable.switch else [name for name in names if name not in (variable.name, *given)]:
            if self._variables.get(name):
                display.warning(
                    f"{name} in the inventory does nothing: what takes a safety off counts for one run only. "
                    f"Give it on the command line, as -e {variable.name}=true, or in a survey."
                )
        return given

    def _is_of_the_inventory(self, name: str) -> bool:
        """Tell whether a value is the same as without the play, so that the inventory, or a fact, gives it."""
        return name not in self._extra and name in self._inventory and self._inventory[name] == self._variables[name]

    def _tell_idle(self, names: list[str]) -> None:
        check_idle(names, self._name)
        if names:
            display.warning(f"{', '.join(names)}: {self._name}.yml does not ask for that")


# The module whose options a role's targets are.
_MODULES = {"pitr_restore": "pitr_restore", "backup_repository": "backup_info", "base_backup": "base_backup"}

# The plain value of each of Ansible's own kinds, whatever a subclass says that it is.
_PLAIN: tuple[tuple[type, Any], ...] = ((str, str.__str__), (bool, bool), (int, int.__int__), (float, float.__float__))


def plain(value: Any) -> Any:
    """Make a plain value of what Ansible has marked with where it comes from, or decrypts when it is read."""
    if type(value).__name__ == "AnsibleVaultEncryptedUnicode":
        return str(value)
    for kind, convert in _PLAIN:
        if isinstance(value, kind):
            return convert(value)
    return value
