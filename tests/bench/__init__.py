# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks: one module for each, listed in `__main__`. Each measures something on throw-away servers, in one run.

A number of seconds says little on another machine; the pages in docs/benchmarks say what they were measured on.
"""
