# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Histories that are drawn by a seed: lived through on a real server, and compared with what its client wrote down.

`ledger` is what the client knows, and the slow and obvious rule of what a restore has to give; `plan` are the
operations as data, and how they are drawn; `life` carries them out; `verdicts` restore and compare; `shrink` makes a
failing history short; `campaign` counts over many of them. Nothing here reads WAL.
"""
