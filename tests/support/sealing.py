# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change a backup's description so that its checksum is right, as somebody who means it would."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def rewrite(path: Path, **changes: Any) -> None:
    """Change values in a ``backup.json``, and its checksum with them."""
    document = json.loads(path.read_text(encoding="utf-8")) | changes
    document.pop("sha256")
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    path.write_text(json.dumps(document | {"sha256": digest}), encoding="utf-8")
