# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody set up by hand gave way, and what is his was left alone."""

from tests.molecule.machines import Cluster

BY_HAND = Cluster("host13")


def test_settings_of_lower_rank_have_no_say() -> None:
    ranks = "SELECT DISTINCT sourcefile FROM pg_settings WHERE name IN ('archive_command', 'archive_timeout')"
    assert BY_HAND.sql(ranks) == f"{BY_HAND.data_directory}/postgresql.auto.conf"


def test_the_file_that_somebody_wrote_is_as_it_was() -> None:
    assert "/bin/cp %p" in BY_HAND.machine.run("cat", "/etc/postgresql/17/main/conf.d/archiving.conf")
