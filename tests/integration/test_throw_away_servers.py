# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the other tests take for granted about the throw-away servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support import processes
from tests.support.marks import every_version
from tests.support.playbooks import PlaybookFailure, Playbooks
from tests.support.postgres import Cluster
from tests.support.sandbox import CHECKOUT, Sandbox, remove
from tests.support.snapshots import settings, tree
from tests.support.waiting import wait_until


def test_the_managed_side_has_psycopg_and_not_what_only_the_controller_has(sandbox: Sandbox) -> None:
    sandbox.run([sandbox.python, "-c", "import psycopg"])
    assert sandbox.run([sandbox.python, "-c", "import jmespath"], check=False).returncode == 1


def test_the_interpreter_can_stand_in_a_shebang(sandbox: Sandbox) -> None:
    program = sandbox.home / "a program"
    program.write_text(f"#!{sandbox.python} -IS\nimport hashlib, ssl\nprint('ran')\n", encoding="utf-8")
    program.chmod(0o755)
    assert sandbox.run([program]).stdout == "ran\n"


@every_version
def test_a_cluster_has_the_version_asked_for_and_a_space_in_its_path(cluster: Cluster, version: str) -> None:
    assert cluster.value("SELECT current_setting('server_version_num')::int / 10000") == int(version)
    assert cluster.value("SELECT current_setting('data_directory')") == str(cluster.data_directory)
    assert " " in str(cluster.data_directory)


def test_a_killed_server_is_gone_and_starts_again_with_what_it_had_committed(cluster: Cluster) -> None:
    cluster.sql("CREATE TABLE kept AS SELECT 1 AS row")
    cluster.kill()
    assert cluster.pid is None
    cluster.start()
    assert cluster.value("SELECT count(*) FROM kept") == 1
    assert "was not properly shut down" in cluster.log()


def test_leaving_ends_servers_whose_data_directory_is_gone() -> None:
    with Sandbox() as sandbox:
        cluster = sandbox.cluster("18")
        pid = cluster.pid
        cluster.data_directory.rename(cluster.home / "moved")
    assert pid is not None
    assert not Path(f"/proc/{pid}/exe").exists()
    assert not sandbox.root.exists()


def test_ansible_becomes_the_owner_on_the_managed_side(
    playbooks: Playbooks, cluster: Cluster, inventory: Path, tmp_path: Path
) -> None:
    task = {"name": "say who runs", "ansible.builtin.command": {"argv": ["id", "-un"]}, "register": "who"}
    tell = {"name": "tell", "ansible.builtin.debug": {"msg": "{{ who.stdout }} runs {{ ansible_python_interpreter }}"}}
    play = {"hosts": "postgres", "become": True, "become_user": "{{ postgres_cluster_owner }}", "gather_facts": False}
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(yaml.safe_dump([play | {"tasks": [task, tell]}]), encoding="utf-8")
    run = playbooks.run(playbook, inventory)
    assert f"{cluster.owner} runs {cluster.sandbox.python}" in run.output
    assert run.changed_tasks == ["say who runs"]
    assert run.recap["main"]["ok"] == 2


def test_a_playbook_whose_time_is_up_leaves_nothing_running(
    sandbox: Sandbox, playbooks: Playbooks, tmp_path: Path
) -> None:
    pid_file = sandbox.home / "sleeper.pid"
    task = {"name": "sleep", "ansible.builtin.shell": f"echo $$ > {pid_file}; exec sleep 600"}
    play = {"hosts": "postgres", "become": True, "become_user": sandbox.user, "gather_facts": False, "tasks": [task]}
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
    with sandbox.cluster("18", "idle") as cluster:
        for seconds in (6, 60):  # the second is for a machine that is too slow to get there in the first
            if not pid_file.exists():
                with pytest.raises(PlaybookFailure, match="exited -9"):
                    playbooks.run(playbook, playbooks.inventory(cluster), timeout=seconds)
    assert not processes.is_working(int(pid_file.read_text(encoding="utf-8")))


def test_a_forked_module_has_the_rights_and_the_environment_of_one_that_is_started(
    playbooks: Playbooks, cluster: Cluster, sandbox: Sandbox, tmp_path: Path
) -> None:
    script = "id; umask; env | sort"
    task = {"name": "tell", "ansible.builtin.command": {"argv": ["sh", "-c", script]}, "register": "told"}
    keep = {"name": "keep", "ansible.builtin.copy": {"content": "{{ told.stdout }}", "dest": "{{ kept }}"}}
    here = {"delegate_to": "localhost", "become": False, "vars": {"ansible_connection": "local"}}
    play = {"hosts": "postgres", "become": True, "become_user": sandbox.user, "gather_facts": False}
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(yaml.safe_dump([play | {"tasks": [task, keep | here]}]), encoding="utf-8")
    said = []
    for connection in ("local", "forking"):
        variables = {"ansible_connection": connection}
        inventory = playbooks.inventory(cluster, hosts={cluster.name: variables})
        playbooks.run(playbook, inventory, variables={"kept": str(tmp_path / connection)})
        lines = (tmp_path / connection).read_text(encoding="utf-8").splitlines()
        said.append([line for line in lines if not line.startswith(("PGARK_TEST_RUN=", "MAIL=", "PWD="))])
    assert said[0] == said[1]


def test_what_was_forked_ends_with_who_has_asked_for_it(sandbox: Sandbox) -> None:
    pid_file = sandbox.home / "forked.pid"
    sleeping = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    address = sandbox.fork_server(sandbox.environment | {"PYTHONPATH": str(sandbox.library)}).address
    asking = f"""
from tests.support import forking
forking.run({address!r}, ["-c"], program={sleeping!r}, stdin="", environment={{}}, directory="/", timeout=600)
"""
    with subprocess.Popen([sys.executable, "-c", asking], cwd=CHECKOUT) as process:
        wait_until(lambda: pid_file.exists() and pid_file.read_text(encoding="utf-8"), message="it to be forked")
        process.kill()
    wait_until(lambda: not processes.is_working(int(pid_file.read_text(encoding="utf-8"))), message="it to end")


def test_one_call_after_the_other_has_sets_in_another_order(sandbox: Sandbox) -> None:
    """Whoever depends on the order of a set is found out, as by processes that start anew."""
    program, environment = "print(hash('a'))", {"PYTHONPATH": str(sandbox.library)}
    said = [sandbox.fork(["-c"], program=program, stdin="", environment=environment).stdout for _call in range(2)]
    assert said[0] != said[1]


def test_only_a_sandbox_is_removed_as_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not the directory of a sandbox"):
        remove(tmp_path)
    assert tmp_path.exists()


def test_trees_and_settings_are_equal_until_something_changes(cluster: Cluster) -> None:
    settings_before, tree_before = settings(cluster), tree(cluster.home)
    assert settings(cluster) == settings_before
    cluster.sql("ALTER SYSTEM SET archive_timeout = 61")
    assert settings(cluster) != settings_before
    assert tree(cluster.home) != tree_before


def test_a_tree_tells_kinds_modes_and_contents_apart(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("words", encoding="utf-8")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    picture = tree(tmp_path)
    assert list(picture) == [".", "file", "link"]
    assert picture["file"].mode == "rw-r-----"
    assert picture["file"].size == len("words")
    assert picture["link"].kind == "l"
    assert picture["link"].content == "file"
    (tmp_path / "file").write_text("WORDS", encoding="utf-8")
    assert tree(tmp_path)["file"] != picture["file"]
    assert tree(tmp_path / "nothing here") == {}


def test_what_the_server_user_cannot_reach_is_copied(sandbox: Sandbox, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "inside").mkdir(parents=True)
    (hidden / "inside" / "file").write_text("words", encoding="utf-8")
    hidden.chmod(0o700)
    provided = sandbox.provide(hidden / "inside", sandbox.library / tmp_path.name)
    assert sandbox.run(["cat", provided / "file"]).stdout == "words"
    assert provided.is_symlink() == sandbox.account.is_caller
