# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that was configured otherwise is brought to the wanted state, from wherever it is, or is left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.marks import since
from tests.support.modules import Modules
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.snapshots import settings, tree

COMMAND = "cp %p /mnt/wal/%f"  # what people write


class Drifted(Recoverable):
    """A cluster with a repository whose configuration is not what it ought to be."""

    @property
    def conf(self) -> Path:
        """Return the main configuration file."""
        return self.cluster.data_directory / "postgresql.conf"

    @property
    def auto(self) -> Path:
        """Return what ALTER SYSTEM writes."""
        return self.cluster.data_directory / "postgresql.auto.conf"

    def write(self, text: str, path: Path | None = None) -> str:
        """Add a line to a configuration file and return its place."""
        path = path or self.conf
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        path.write_text("\n".join([*lines, text, ""]), encoding="utf-8")
        self.owned(path)
        return f"{path}:{len(lines) + 1}"

    def place_of(self, name: str) -> str:
        """Return where ALTER SYSTEM wrote a setting."""
        lines = self.auto.read_text(encoding="utf-8").splitlines()
        [number] = [number for number, line in enumerate(lines, 1) if line.startswith(f"{name} ")]
        return f"{self.auto}:{number}"

    def start_with(self, *options: str) -> None:
        """Restart the server with options on its command line."""
        where = ["-w", "-D", self.cluster.data_directory, "-l", self.cluster.log_file]
        self.cluster.run("pg_ctl", "restart", *where, "-o", " ".join(options))

    def reload(self) -> None:
        """Have the server read its files."""
        self.run("postgres_server", state="reloaded")

    def enabled(self, **parameters: Any) -> dict[str, Any]:
        """Ask what enabling would do, see that asking changed nothing, then do it, and see that it was that."""
        options = {"program": self.program, "timeout": 0, "diff": True} | parameters
        return self.foreseen(**options)

    def disabled(self, **parameters: Any) -> dict[str, Any]:
        """Ask what disabling would do, then do it."""
        return self.foreseen(state="disabled", diff=True, **parameters)

    def foreseen(self, **options: Any) -> dict[str, Any]:
        """Run the module in check mode, and then for real; its word must hold."""
        before = settings(self.cluster)
        expected = self.run("wal_archiving", check_mode=True, **options)
        assert settings(self.cluster) == before
        done = self.run("wal_archiving", **options)
        for returned in ("changed", "steps", "diff", "restart_required", "restart_settings", "settings_before"):
            assert done[returned] == expected[returned]
        return done

    def refused(self, **parameters: Any) -> str:
        """Ask for what must be refused, in check mode and for real, and see that nothing was changed."""
        options = parameters or {"program": self.program, "timeout": 60}
        before = settings(self.cluster), tree(self.program.parent)
        foreseen = self.fail("wal_archiving", check_mode=True, **options)
        assert self.fail("wal_archiving", **options) == foreseen
        assert (settings(self.cluster), tree(self.program.parent)) == before
        return foreseen

    def value(self, name: str) -> str:
        """Return a setting in force, as a new session sees it."""
        return str(self.cluster.value(f"SHOW {name}"))


@pytest.fixture
def drifted(sandbox: Sandbox, cluster: Cluster, modules: Modules) -> Drifted:
    subject = Drifted(sandbox, cluster, modules)
    subject.run("backup_repository", separate_filesystem="ignore")
    return subject


@since(15)  # archive_library
def test_what_was_set_by_hand_is_replaced_and_shown_with_its_place(drifted: Drifted) -> None:
    cluster = drifted.cluster
    extra = drifted.sandbox.directory(cluster.data_directory / "conf.d")
    drifted.write("include_dir 'conf.d'")
    drifted.write("archive_mode = yes")
    command = drifted.write(f"archive_command = '{COMMAND}'")
    library = drifted.write("archive_library = 'basic_archive'", extra / "library.conf")
    timeout = drifted.write("archive_timeout = 5min", extra / "wal.conf")
    cluster.restart()

    # The archiver has ended, since both are set. The next begins 10 s later, if the server looks: else within 60 s.
    message = drifted.refused(program=drifted.program, timeout=0)
    assert f"archive_library is 'basic_archive' (from {library}), which is not pgark-wal's" in message
    done = drifted.enabled(verify=True, verify_timeout=30, replace=True)
    before = done["diff"]["before"]
    assert before.pop("pgark-wal") == "absent"
    assert before == {
        "archive_command": f"{COMMAND}  (from {command})",
        "archive_library": f"basic_archive  (from {library})",
        "archive_timeout": f"300  (from {timeout})",
    }
    assert done["settings_before"] == {
        "archive_command": COMMAND,
        "archive_library": "basic_archive",
        "archive_timeout": "300",
    }
    assert done["settings_after"]["archive_library"] == ""
    assert not done["restart_required"], "archive_mode is on already, whoever says so"
    assert done["verified_segment"]

    cluster.sql("ALTER SYSTEM SET archive_command = 'true'")
    drifted.reload()
    changed = drifted.enabled(verify=True, replace=True)
    assert changed["diff"]["before"] == {"archive_command": f"true  (from {drifted.place_of('archive_command')})"}
    assert changed["verified_segment"]
    assert not drifted.enabled(verify=True)["changed"]

    [former] = drifted.enabled(compression="gzip")["diff"]["before"].values()
    assert " --compression zstd --jobs 2 " in former
    assert former.endswith(f"; }}  (from {drifted.place_of('archive_command')})")


@since(15)
def test_a_library_takes_the_place_of_a_command_if_it_is_there(drifted: Drifted) -> None:
    drifted.cluster.sql(f"ALTER SYSTEM SET archive_command = '{COMMAND}'")
    drifted.reload()
    message = drifted.refused(library="no_such_library", replace=True)
    assert "archive_library 'no_such_library' cannot be loaded: the server refused: could not access file" in message
    assert f"archive_command is '{COMMAND}'" in drifted.refused(library="basic_archive")
    done = drifted.foreseen(library="basic_archive", diff=True, replace=True)
    assert done["settings_after"]["archive_library"] == "basic_archive"
    assert done["settings_before"]["archive_command"] == COMMAND
    assert done["settings_after"]["archive_command"] == ""
    assert not drifted.foreseen(library="basic_archive", diff=True)["changed"], "what was asked for is nobody else's"
    drifted.disabled(library="basic_archive")
    assert drifted.cluster.value("SELECT reset_val FROM pg_settings WHERE name = 'archive_command'") == COMMAND


def test_a_restart_that_would_end_archiving_is_forestalled(drifted: Drifted) -> None:
    drifted.write("archive_mode = always")
    drifted.cluster.restart()
    drifted.enabled()
    drifted.write("archive_mode = off")
    drifted.reload()
    done = drifted.enabled(verify=True)
    assert done["settings_before"] == {"archive_mode": "off"}, "what the next restart would have brought"
    assert done["settings_after"] == {"archive_mode": "always"}
    assert not done["restart_required"]
    drifted.cluster.restart()
    assert drifted.value("archive_mode") == "always"
    assert not drifted.enabled(verify=True)["changed"]


def test_the_command_line_is_named_before_anything_is_changed(drifted: Drifted) -> None:
    drifted.start_with("-c archive_timeout=17")
    message = drifted.refused()
    assert "archive_timeout is '17', expected '60'; it comes from the server's command line" in message
    assert "postmaster.opts in the data directory has -c archive_timeout=17" in message
    assert "HINT: remove it where the server is started (options in the systemd unit, pg_ctl.conf of" in message
    assert not drifted.program.exists()
    assert drifted.enabled(timeout=17)["settings_after"].keys() == {"archive_mode", "archive_command"}

    drifted.start_with("--archive-mode=off", "-c archive_command=true")
    replacing = {"program": drifted.program, "timeout": 60, "replace": True}
    assert "archive_mode is 'off', expected 'on'" in drifted.refused(**replacing)
    drifted.start_with("--archive-mode=on", "-c max_wal_senders=3")
    drifted.cluster.sql("ALTER SYSTEM SET max_wal_senders = 5")
    drifted.reload()
    done = drifted.enabled(settings={"max_wal_senders": 3}, verify=True)
    assert not done["restart_required"], "a restart would bring the command line's value again"
    assert done["verified_segment"]
    assert "archive_mode is 'on', expected 'off'" in drifted.refused(state="disabled")


def test_errors_in_files_are_named_before_anything_is_changed(drifted: Drifted) -> None:
    original = drifted.conf.read_text(encoding="utf-8")
    faults: list[tuple[str, str]] = [
        ("archive_mode on on", "syntax error"),
        ("archive_tmeout = 60", "unrecognized configuration parameter: archive_tmeout = '60'"),
        ("checkpoint_timeout = soon", "setting could not be applied: checkpoint_timeout = 'soon'"),
        ("include 'missing.conf'", "could not open file"),
    ]
    for line, words in faults:
        place = drifted.write(line)
        message = drifted.refused()
        assert f"{place}: {words}" in message
        assert "HINT: correct the lines, and run this again; nothing was changed" in message
        drifted.conf.write_text(original, encoding="utf-8")

    drifted.write("archive_timeout = soon")
    drifted.write("max_connections = 21")
    drifted.cluster.sql("ALTER SYSTEM SET shared_buffers = '20MB'")
    done = drifted.enabled(timeout=60)
    assert done["restart_settings"] == ["archive_mode"], "what was corrected, or is to wait for a restart, is no error"
    drifted.cluster.restart()
    assert drifted.enabled(timeout=60, verify=True)["verified_segment"]

    place = drifted.write("archive_tmeout = 60")
    unchanged = drifted.run("wal_archiving", program=drifted.program, timeout=60)
    assert not unchanged["changed"]
    [warning] = unchanged["warnings"]
    assert f"will not start again: {place}: unrecognized configuration parameter" in str(warning)
    assert f"{place}: unrecognized" in drifted.refused(program=drifted.program, timeout=61)


def test_an_error_that_would_keep_a_restart_from_succeeding_is_named_before_it(drifted: Drifted) -> None:
    original = drifted.conf.read_text(encoding="utf-8")
    place = drifted.write("max_connections = many")
    message = drifted.fail("wal_archiving", program=drifted.program)
    assert f"will not start again:\n{place}: setting could not be applied: max_connections = 'many'" in message
    assert "HINT: correct the lines before the next restart" in message
    drifted.conf.write_text(original, encoding="utf-8")
    drifted.write("shared_preload_libraries = 'nosuch'")
    message = drifted.fail("wal_archiving", program=drifted.program)
    assert "the server will not start again: library 'nosuch' of shared_preload_libraries" in message
    assert f"(set in {drifted.conf})" in message


def test_disabling_undoes_the_set_up_and_leaves_the_archive(drifted: Drifted) -> None:
    untouched = drifted.auto.read_text(encoding="utf-8")
    low = {"wal_level": "minimal", "max_wal_senders": "0"}
    for name, value in low.items():
        drifted.write(f"{name} = {value}")
    drifted.cluster.restart()
    extra = {"settings": {"checkpoint_timeout": "7min"}}
    changed = {*low, "archive_mode", "archive_command", "checkpoint_timeout"}
    assert drifted.enabled(**extra)["settings_before"].keys() == changed
    drifted.cluster.restart()
    assert drifted.enabled(verify=True)["verified_segment"]
    kept = tree(drifted.repository), tree(drifted.program.parent)

    done = drifted.disabled(program=drifted.program, verify=True, **extra)
    assert done["settings_before"].keys() == changed
    assert done["restart_settings"] == ["archive_mode", "max_wal_senders", "wal_level"]
    assert set(done["diff"]["after"].values()) == {"(reset)"}
    waiting = drifted.disabled()
    assert (waiting["changed"], waiting["restart_settings"]) == (False, done["restart_settings"])
    assert drifted.auto.read_text(encoding="utf-8") == untouched
    drifted.cluster.restart()
    assert {name: drifted.value(name) for name in low} == low
    assert (drifted.value("archive_mode"), drifted.value("archive_command")) == ("off", "(disabled)")
    again = drifted.disabled()
    assert (again["changed"], again["restart_required"], again["verified_segment"]) == (False, False, None)
    after = tree(drifted.repository), tree(drifted.program.parent)
    assert {name for name in kept[0] if name not in after[0]} == set(), "nothing archived is removed"
    assert after[1] == kept[1]


def test_a_run_that_ended_before_the_reload_is_made_good(drifted: Drifted) -> None:
    """What was killed, or lost its power, between ALTER SYSTEM and the reload; nothing tells the server by itself."""
    drifted.enabled(timeout=60)
    drifted.cluster.restart()
    for name in ("archive_mode", "archive_command", "archive_timeout"):
        drifted.cluster.sql(f"ALTER SYSTEM RESET {name}")
    assert drifted.value("archive_timeout") == "1min"
    done = drifted.disabled()
    assert (done["changed"], done["restart_settings"]) == (True, ["archive_mode"])
    assert drifted.value("archive_timeout") == "0"
    assert not drifted.disabled()["changed"]
    drifted.cluster.restart()

    for name, value in (("archive_mode", "on"), ("archive_timeout", "60")):
        drifted.cluster.sql(f"ALTER SYSTEM SET {name} = '{value}'")
    done = drifted.enabled(timeout=60)
    assert (done["changed"], done["restart_settings"]) == (True, ["archive_mode"])
    assert drifted.value("archive_timeout") == "1min"


def use_a_slot(cluster: Cluster) -> None:
    cluster.sql("SELECT pg_create_physical_replication_slot('standby')")


def summarize(cluster: Cluster) -> None:
    cluster.sql("ALTER SYSTEM SET summarize_wal = on")
    cluster.sql("SELECT pg_reload_conf()")


@since(17)  # summarize_wal
@pytest.mark.parametrize(("depend", "kept"), [(use_a_slot, "10"), (summarize, "0")])
def test_what_depends_on_the_wal_keeps_its_level(
    drifted: Drifted, depend: Callable[[Cluster], None], kept: str
) -> None:
    drifted.write("wal_level = minimal")
    drifted.write("max_wal_senders = 0")
    drifted.cluster.restart()
    drifted.enabled()
    drifted.cluster.restart()
    depend(drifted.cluster)
    drifted.disabled()
    drifted.cluster.restart()
    assert (drifted.value("wal_level"), drifted.value("max_wal_senders")) == ("replica", kept)
    assert drifted.value("archive_mode") == "off"


def test_an_archiving_that_nobody_has_set_up_whole_is_switched_off(drifted: Drifted) -> None:
    """A server with archive_mode on and no command keeps its WAL until the disk is full."""
    place = drifted.write("archive_mode = on")
    drifted.cluster.restart()
    done = drifted.disabled()
    assert done["diff"]["before"] == {"archive_mode": f"on  (from {place})"}
    assert done["settings_after"] == {"archive_mode": "off"}
    drifted.cluster.restart()
    assert drifted.value("archive_mode") == "off"
    assert not drifted.disabled()["changed"]
    assert drifted.enabled()["settings_before"] == {"archive_mode": "off", "archive_command": ""}
    drifted.cluster.restart()
    assert drifted.enabled(verify=True)["verified_segment"]


def test_a_standby_is_configured_so_that_it_archives_after_a_failover(drifted: Drifted) -> None:
    cluster = drifted.cluster
    cluster.stop()
    drifted.write("", cluster.data_directory / "standby.signal")
    cluster.start()
    done = drifted.enabled(verify=True)
    assert done["changed"]
    assert done["verified_segment"] is None
    assert done["unverified_reason"] == "the server is in recovery; a standby is proved to archive once it is promoted"
    cluster.restart()
    waiting = drifted.enabled(verify=True)
    assert (waiting["changed"], waiting["restart_required"], waiting["verified_segment"]) == (False, False, None)
    assert cluster.value("SELECT pg_promote()")
    proved = drifted.enabled(verify=True)
    assert not proved["changed"]
    assert proved["verified_segment"].startswith("00000002")
