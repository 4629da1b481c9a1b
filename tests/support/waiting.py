# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for something to become true, without sleeping longer than it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_until(
    predicate: Callable[[], Found], *, timeout: float = 30, message: str, longest_pause: float = 0.25
) -> Found:
    """Poll until the predicate's value is true, and return that value.

    What is there for a moment only is seen with a short `longest_pause` (in seconds).

    Raises TimeoutError with the message, which completes the sentence "waited 30 s for …".
    """
    deadline = time.monotonic() + timeout
    pause = 0.01
    while not (found := predicate()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {message}")
        time.sleep(pause)
        pause = min(pause * 1.5, longest_pause)
    return found
