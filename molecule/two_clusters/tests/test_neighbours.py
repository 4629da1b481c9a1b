# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One cluster went back in time, and the other, on the same host, did not notice."""

from datetime import datetime

from tests.molecule.ledger import count
from tests.molecule.machines import Cluster

ROWS = 100
RESTORED = Cluster("orders")
OTHER = Cluster("stock")


def started(cluster: Cluster) -> datetime:
    """Return when the server was started."""
    return datetime.fromisoformat(
        cluster.sql("SELECT to_char(pg_postmaster_start_time(), 'YYYY-MM-DD HH24:MI:SS.USTZH')")
    )


def test_the_one_is_back_at_its_moment() -> None:
    counted = count(RESTORED.ledger(1), RESTORED.moment(1), RESTORED.rows(1))
    assert min(counted.before, counted.after) >= ROWS
    assert not counted.missing
    assert not counted.surplus
    assert started(RESTORED) > RESTORED.moment(1)


def test_the_other_went_on_all_the_time() -> None:
    assert started(OTHER) < OTHER.moment(1)
    assert OTHER.sql("SELECT timeline_id FROM pg_control_checkpoint()") == "1"
    assert OTHER.previous_directories() == []


def test_the_other_acknowledged_rows_all_the_time_and_has_them_all() -> None:
    assert OTHER.machine.succeeds("systemctl", "is-active", "ledger-stock-1")
    entries = OTHER.ledger(1)
    lost, back = RESTORED.moment(1).timestamp(), started(RESTORED).timestamp()
    assert len([entry for entry in entries if entry.acknowledged < lost]) >= ROWS
    assert len([entry for entry in entries if lost < entry.sent and entry.acknowledged < back]) >= ROWS
    assert len([entry for entry in entries if back < entry.sent]) >= ROWS
    assert not {entry.row for entry in entries} - OTHER.rows(1)


def test_the_other_archived_without_a_failure() -> None:
    assert OTHER.sql("SELECT failed_count, archived_count > 0 FROM pg_stat_archiver") == "0|t"


def test_each_archives_into_its_own_place() -> None:
    identifiers = {cluster.control()["Database system identifier"] for cluster in (RESTORED, OTHER)}
    assert len(identifiers) == 2
    for cluster in (RESTORED, OTHER):
        identity = cluster.machine.run("cat", f"{cluster.repository}/{cluster.name}/cluster.json")
        assert cluster.control()["Database system identifier"] in identity
