# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A preview of the restore changed nothing. Run after the first step check, when a table is missing."""

from tests.molecule.machines import Cluster


def test_the_table_is_still_missing(cluster: Cluster) -> None:
    assert cluster.sql("SELECT to_regclass('ledger')") == ""


def test_the_server_went_on_all_the_time(cluster: Cluster) -> None:
    started = cluster.sql("SELECT extract(epoch FROM pg_postmaster_start_time())")
    assert float(started) < cluster.moment(1).timestamp()


def test_nothing_was_staged(cluster: Cluster) -> None:
    assert cluster.previous_directories() == []
