# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say in an error what works where it is read: a module's options, a role's variables, or a playbook's.

Errors are written in the words of modules. Who runs a playbook cannot give a module its options.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

CALLERS = ("module", "role", "playbook")

# The variables that stand behind the options which all modules share.
SHARED = {
    "data_directory": "postgres_cluster_data_directory",
    "bin_directory": "postgres_cluster_bin_directory",
    "config_directory": "postgres_cluster_config_directory",
    "log_file": "postgres_cluster_log_file",
    "python_directory": "postgres_cluster_python_directory",
    "login_port": "postgres_cluster_port",
    "login_unix_socket": "postgres_cluster_socket_directory",
    **{name: f"postgres_cluster_{name}" for name in ("login_host", "login_user", "login_password", "login_db")},
    **{name: f"postgres_cluster_{name}" for name in ("ssl_mode", "ca_cert", "ssl_cert", "ssl_key")},
    "repository": "backup_repository_path",
    "cluster": "backup_repository_cluster",
    "further_repositories": "backup_repository_further_paths",
}
_TARGET = (
    "target", "target_time", "target_xid", "target_name", "target_lsn", "target_timeline", "target_inclusive",
    "backup_label",
)  # fmt: skip
_RESTORE = (
    "source_cluster",
    "tablespace_mapping",
    "settings",
    "local_only",
    "force",
    "previous_directory",
    "manager_stopped",
    "replace_new_cluster",
    "new_timeline",
)
# The options of a module that a role of another name, or of the same, has variables for.
_ROLES = {
    "pitr_restore": ("pitr_restore", (*_TARGET, *_RESTORE)),
    "recovery": ("pitr_restore", ("timeout", "checks")),
    "backup_info": ("backup_repository", _TARGET),
    "backup_repository": ("backup_repository", ("group", "mode", "separate_filesystem")),
    "base_backup": ("base_backup", ("type", "label", "max_age", "compression", "checkpoint", "timeout")),
    "wal_archiving": ("wal_archiving", ("compression", "timeout", "settings", "verify_timeout")),
}
# What the playbooks have short names for.
_SHORT = {
    **{f"{role}_{name}": name for role in ("pitr_restore", "backup_repository") for name in _TARGET},
    "pitr_restore_source_cluster": "source_cluster",
    "pitr_restore_force": "force",
    "pitr_restore_manager_stopped": "manager_stopped",
    "pitr_restore_replace_new_cluster": "replace_new_cluster",
    "pitr_restore_new_timeline": "new_timeline",
    "pitr_restore_previous_directory": "previous_directory",
    "base_backup_type": "backup_type",
    "base_backup_label": "backup_label",
    "base_backup_max_age": "backup_max_age",
}
# What a playbook does where a module is told in several steps.
_PHRASES = (
    (r"stop the server, and run pitr_restore with state: detached", "run pitr_finalize.yml"),
    (r"pitr_rollback\.yml, or pitr_restore with state: rolled_back", "pitr_rollback.yml"),
    (r"recovery with state: promoted, or pitr_finalize\.yml", "pitr_finalize.yml"),
    (r"pitr_restore with state: (?:staged|restored)", "pitr_restore.yml"),
)


def variables(module: str) -> dict[str, str]:
    """Give the variable that stands behind each option of a module.

    >>> variables("pitr_restore")["tablespace_mapping"]
    'pitr_restore_tablespace_mapping'
    """
    role, options = _ROLES.get(module, ("", ()))
    return {**SHARED, **{option: f"{role}_{option}" for option in options}}


def hint_for(hint: str, module: str, caller: str) -> str:
    """Write a hint for who has called the module.

    >>> hint_for("check data_directory; with force: true it is kept", "pitr_restore", "playbook")
    'check postgres_cluster_data_directory; with force=true it is kept'
    """
    if caller == "module":
        return hint
    names = variables(module)
    if caller == "playbook":
        for phrase, instead in _PHRASES:
            hint = re.sub(phrase, instead, hint)
        names = {option: _SHORT.get(name, name) for option, name in names.items()}
    return _renamed(hint, names, "=" if caller == "playbook" else ": ")


def message_for(message: str, module: str, caller: str) -> str:
    """Write a message for who has called the module: what it got, by the name under which it was given.

    Only names that no setting of PostgreSQL and nothing on disk has are safe to change in it.

    >>> message_for("tablespace_mapping gives /a to two tablespaces", "pitr_restore", "playbook")
    'pitr_restore_tablespace_mapping gives /a to two tablespaces'
    """
    own = {option: name for option, name in variables(module).items() if option not in SHARED}
    if caller == "playbook":
        own = {option: _SHORT.get(name, name) for option, name in own.items()}
    return message if caller == "module" else _renamed(message, own, None)


def _renamed(text: str, names: Mapping[str, str], sign: str | None) -> str:
    """Put other names in; a single word is a name only where a value follows that no sentence goes on with."""
    for option, name in names.items():
        value = r"\S" if "_" in option else r"(?:true|false|latest|immediate)\b"
        if sign is not None:
            text = re.sub(rf"(?<![\w./-]){option}(?:: |=)(?={value})", f"{name}{sign}", text)
        if "_" in option:
            text = re.sub(rf"(?<![\w./-]){option}\b(?![./:=-])", name, text)
    return text
