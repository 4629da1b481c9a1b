# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``backup.json`` says is held against what PostgreSQL itself wrote into the backup."""

from __future__ import annotations

from collections.abc import Mapping

from .._errors import Error, printable
from .._values.markers import CONTROL
from .catalog import Backup
from .manifest import Manifest

_NEEDED = ("PG_VERSION", "backup_label", CONTROL)  # without which no server starts from a backup
_HINT = "this backup cannot be trusted; restore from another one with backup_label"


def check_manifest(backup: Backup, manifest: Manifest, sha256: str) -> None:
    """Refuse a backup that is another one than its manifest says; ``sha256`` is the manifest's."""
    missing = [name for name in _NEEDED if name not in manifest.files]
    if missing:
        raise Error(f"the backup_manifest of backup '{backup.label}' lists no {', no '.join(missing)}", _HINT)
    first, last = manifest.wal[0], manifest.wal[-1]
    said = {
        "SHA-256": (sha256, backup.manifest_sha256),
        "start": (first.start, backup.start_lsn),
        "stop": (last.end, backup.stop_lsn),
        "timeline": (last.timeline, backup.timeline),
        "size": (manifest.size, backup.size),
        "system identifier": (manifest.system_identifier or backup.system_identifier, backup.system_identifier),
    }
    refuse_different(backup.label, "backup_manifest", said)


def refuse_different(label: str, file: str, said: Mapping[str, tuple[object, object]]) -> None:
    """Refuse a backup of which a file says something else than ``backup.json``; ``said`` are both, the file's first."""
    different = [f"{what} {there}, not {here}" for what, (there, here) in said.items() if there != here]
    if different:
        raise unfit(label, file, "; ".join(different))


def unfit(label: str, file: str, what: str) -> Error:
    """Say that a file of a backup does not go with its description."""
    return Error(f"backup.json of backup '{label}' does not go with its {file}, which says {printable(what)}", _HINT)
