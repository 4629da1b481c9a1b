# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the manifest of a backup, and hold ``backup.json`` against it."""

from __future__ import annotations

import hashlib
import os

from .._errors import Error, printable
from .._host.digests import sha256_of
from .._host.files import open_regular, read_small, reason
from .._values.file_entry import FileEntry
from .catalog import Backup
from .facts import check_manifest
from .manifest import Manifest

_LARGEST_MANIFEST = 1 << 31  # some ten million files
_UNTRUSTED = "this backup cannot be trusted; restore from another one with backup_label"


def read_manifest(directory: str) -> tuple[Manifest, str]:
    """Read the manifest of a backup that was just taken, and give the SHA-256 of its text."""
    content = read_small(f"{directory}/backup_manifest", _LARGEST_MANIFEST)
    return Manifest.parse(content), hashlib.sha256(content).hexdigest()


def trusted_manifest(directory: str, sha256: str) -> Manifest:
    """Read the manifest of a backup, which has to be the one that was there when the backup was taken.

    To parse another one may take minutes, and all memory; so it is looked at in pieces first.
    """
    path = f"{directory}/backup_manifest"
    with os.fdopen(open_regular(path), "rb") as file:
        if os.fstat(file.fileno()).st_size > _LARGEST_MANIFEST:
            raise Error(f"{path} has more than {_LARGEST_MANIFEST} bytes, expected a smaller file", _UNTRUSTED)
        found = sha256_of(file)
        if found.sha256 == sha256:
            file.seek(0)
            content = file.read(found.size)
            found = FileEntry(len(content), hashlib.sha256(content).hexdigest())
    if found.sha256 != sha256:
        raise Error(
            f"{path} was changed: its SHA-256 is {found.sha256}, backup.json says {sha256}",
            _UNTRUSTED,
        )
    return Manifest.parse(content)


def described_manifest(directory: str, backup: Backup) -> Manifest:
    """Read the manifest that ``backup.json`` was made from; any other one is refused."""
    manifest = trusted_manifest(directory, backup.manifest_sha256)
    check_manifest(backup, manifest, backup.manifest_sha256)
    return manifest


def why_untrue(directory: str, backup: Backup) -> str | None:
    """Say why a backup is not what it is described as, as far as its manifest tells (None: it is)."""
    try:
        described_manifest(directory, backup)
    except (Error, OSError) as error:
        return printable(reason(error))
    return None
