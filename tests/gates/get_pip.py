# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put pip into an empty virtual environment, for ansible-test.

ansible-test runs its bootstrap script with the environment's interpreter, and with pip's options and packages as
arguments. It downloads the script unless its cache has one. Python brings all that is needed for the same, so that
tests do not depend on a download.
"""

from __future__ import annotations

import subprocess
import sys

arguments = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
subprocess.run([sys.executable, "-m", "pip", "install", *arguments], check=True)
