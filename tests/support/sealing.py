# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change a backup's description so that its checksum is right, as somebody who means it would."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any


def rewrite(path: Path, **changes: Any) -> None:
    """Change values in a ``backup.json``, and its checksum with them."""
    document = json.loads(path.read_text(encoding="utf-8")) | changes
    document.pop("sha256")
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    path.write_text(json.dumps(document | {"sha256": digest}), encoding="utf-8")


def forge(backup: Path, name: str, content: bytes | None) -> None:
    """Have another file (None: none) in an uncompressed backup, with all checksums over it right."""
    archive = backup / "base.tar"
    original = io.BytesIO(archive.read_bytes())
    with tarfile.open(fileobj=original) as source, tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as target:
        for member in source:
            if member.name.removeprefix("./") != name:
                target.addfile(member, source.extractfile(member) if member.isreg() else None)
            elif content is not None:
                member.size = len(content)
                target.addfile(member, io.BytesIO(content))
    manifest = backup / "backup_manifest"
    if content is not None:
        manifest.write_text(_listing(manifest.read_text(encoding="utf-8"), name, content), encoding="utf-8")
    listed = json.loads(manifest.read_text(encoding="utf-8"))["Files"]
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    rewrite(backup / "backup.json", manifest_sha256=digest, size=sum(entry["Size"] for entry in listed))


def _listing(text: str, name: str, content: bytes) -> str:
    """Change the line of a file in a manifest, which ends with the checksum of what is before its last line."""
    entry = rf'("Path": "{re.escape(name)}", "Size": )\d+(.*"Checksum": ")[0-9a-f]+'
    digest = hashlib.sha256(content).hexdigest()
    body = re.sub(entry, lambda found: f"{found[1]}{len(content)}{found[2]}{digest}", text)
    begin = body.rpartition('"Manifest-Checksum"')[0]
    return f'{begin}"Manifest-Checksum": "{hashlib.sha256(begin.encode()).hexdigest()}"}}\n'
