# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a restore will take, before it has begun: sizes over the rates of an ordinary machine.

An estimate answers "minutes or hours?". What a machine really does is shown by the progress of the restore itself.
"""

from __future__ import annotations

from .._values.progress import duration_text

_MB = 2**20
# About what the benchmark `restore` measured on a busy machine, which docs/benchmarks describes.
STAGING_BYTES_PER_SECOND = 100 * _MB
REPLAY_BYTES_PER_SECOND = 20 * _MB
# Stopping a server, exchanging the directories, starting the new one and promoting it.
SWITCH_SECONDS = 10.0


def staging_seconds(size: int) -> float:
    """Estimate how long it takes to unpack, verify and sync that many bytes of a data directory.

    >>> staging_seconds(1000 * 2**20)
    10.0
    """
    return size / STAGING_BYTES_PER_SECOND


def replay_seconds(segments: int, segment_size: int = 16 * _MB) -> float:
    """Estimate how long it takes to fetch that many segments and replay them.

    >>> replay_seconds(100)
    80.0
    """
    return segments * segment_size / REPLAY_BYTES_PER_SECOND


def restore_seconds(size: int, segments: int, segment_size: int = 16 * _MB) -> float:
    """Estimate how long a restore takes as a whole, from the beginning of staging to a promoted server.

    >>> restore_seconds(1000 * 2**20, 100)
    100.0
    """
    return staging_seconds(size) + SWITCH_SECONDS + replay_seconds(segments, segment_size)


def restore_text(size: int, segments: int, segment_size: int = 16 * _MB) -> str:
    """Say how long a restore takes, and for how long of it no server is there.

    >>> restore_text(1000 * 2**20, 100)
    'about 1 min 40 s, in the last 1 min 30 s of which no server takes writes: it replays 100 segments of WAL'
    """
    down = duration_text(SWITCH_SECONDS + replay_seconds(segments, segment_size))
    replayed = "1 segment" if segments == 1 else f"{segments} segments"
    whole = duration_text(restore_seconds(size, segments, segment_size))
    return f"about {whole}, in the last {down} of which no server takes writes: it replays {replayed} of WAL"
