# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgark-wal is installed from what the modules carry, whether that is a directory or a zip archive, and as a whole."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._archiving import apply_program
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.plan_program import (
    InstallProgram,
    ProgramFile,
    plan_program,
)
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.program import install_program, observe_program
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._plan import apply_files
from ansible_collections.pgark.postgres.plugins.module_utils._plan.apply import apply
from tests.gates.rooms import COLLECTION
from tests.gates.setup import ROOT
from tests.unit.fakes import Killed, killed_at
from tests.unit.wal_program.harness import PROGRAM

INSTALL = f"""
import sys
sys.path.insert(0, sys.argv[1])
from {COLLECTION}.plugins.module_utils._archiving.program import install_program, observe_program
from {COLLECTION}.plugins.module_utils._archiving.plan_program import InstallProgram
place = observe_program(sys.argv[2])
install_program(InstallProgram(place.path, place.interpreter, False))
assert observe_program(sys.argv[2]).found == place.wanted
"""


@pytest.fixture(autouse=True)
def base_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the base interpreter: the checkout, and with it that of `.venv`, may have a space in its path."""
    monkeypatch.setattr(sys, "executable", os.path.realpath(sys.executable))


def install(path: Path) -> None:
    apply(plan_program(observe_program(str(path))), None, {**apply_files.STEPS, **apply_program.STEPS})


def version(*command: str | Path) -> str:
    return subprocess.run([*command, "--version"], capture_output=True, check=True, text=True).stdout


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def source_of(program: Path) -> Path:
    return program.with_name("pgark_wal.py")


def compiled_of(program: Path) -> Path:
    [compiled] = program.parent.glob("__pycache__/*")
    return compiled


def test_the_installed_program_runs_and_is_ours_line_by_line(tmp_path: Path) -> None:
    program = tmp_path / "pgark" / "pgark-wal"
    install(program)
    first, _newline, rest = program.read_text().partition("\n")
    assert first == f"#!{sys.executable} -IS"
    assert len(rest.splitlines()) < 12, "nothing but the call of what is beside it"
    assert source_of(program).read_text() == PROGRAM.read_text()
    assert [mode(path) for path in (program, program.parent, source_of(program))] == [0o750, 0o750, 0o640]
    assert version(program) == version(sys.executable, "-IS", source_of(program))
    assert version(program).startswith("pgark-wal ")
    assert observe_program(str(program)).found == observe_program(str(program)).wanted


def test_what_was_compiled_is_used_as_long_as_it_is_of_this_source(tmp_path: Path) -> None:
    program = tmp_path / "pgark-wal"
    install(program)
    source, compiled = source_of(program), compiled_of(program)
    verbose = [sys.executable, "-IS", "-v", program, "--version"]
    said = subprocess.run(verbose, check=True, capture_output=True, text=True).stderr
    assert f"code object from '{compiled}'" in said
    before = source.stat()
    source.write_text(source.read_text().replace('VERSION = "0.', 'VERSION = "9.'))
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert version(program).startswith("pgark-wal 9."), "neither its time nor its size tells another content"
    assert [path.name for path in compiled.parent.iterdir()] == [compiled.name], "a call writes nothing"


@pytest.mark.parametrize("part", [source_of, compiled_of])
def test_every_part_is_looked_at_and_replaced(part: Callable[[Path], Path], tmp_path: Path) -> None:
    program = tmp_path / "pgark-wal"
    install(program)
    content = part(program).read_bytes()
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"rubbish"), link_elsewhere):
        damage(part(program))
        assert observe_program(str(program)).found != observe_program(str(program)).wanted
        install(program)
        assert observe_program(str(program)).found == observe_program(str(program)).wanted
        assert (part(program).read_bytes()[:16], part(program).is_symlink()) == (content[:16], False)
    assert version(program).startswith("pgark-wal ")


def link_elsewhere(path: Path) -> None:
    moved = path.rename(path.parent.parent / f"moved-{path.name}")
    path.symlink_to(moved)


def test_it_is_found_in_a_zip_archive(tmp_path: Path) -> None:
    """As Ansible sends a module: the collection in one archive on sys.path."""
    archive = tmp_path / "payload.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        for path in sorted((ROOT / "plugins/module_utils").rglob("*.py")):
            writer.write(path, f"{COLLECTION.replace('.', '/')}/{path.relative_to(ROOT)}")
        for package in ("", "/pgark", "/pgark/postgres", "/pgark/postgres/plugins"):
            writer.writestr(f"ansible_collections{package}/__init__.py", "")
        rooms = [path.name for path in (ROOT / "plugins/module_utils").glob("_*") if path.is_dir()]
        for package in ("", *(f"/{room}" for room in rooms)):
            writer.writestr(f"{COLLECTION.replace('.', '/')}/plugins/module_utils{package}/__init__.py", "")
    program = tmp_path / "pgark-wal"
    subprocess.run([sys.executable, "-I", "-c", INSTALL, archive, program], check=True)
    assert source_of(program).read_text() == PROGRAM.read_text()


@pytest.mark.parametrize("content", ["", "#!/bin/sh\n"])
def test_another_file_is_replaced(tmp_path: Path, content: str) -> None:
    program = tmp_path / "pgark-wal"
    program.write_text(content)
    install(program)
    assert version(program).startswith("pgark-wal ")


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    program, target = tmp_path / "pgark-wal", tmp_path / "elsewhere"
    target.write_text("kept")
    program.symlink_to(target)
    assert observe_program(str(program)).found == ProgramFile(f"link to {target}", 0o777)
    install(program)
    assert not program.is_symlink()
    assert target.read_text() == "kept"


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    install(tmp_path / "pgark-wal")
    assert tmp_path.stat().st_mode & 0o7777 == 0o711


def test_more_than_the_last_directory_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(Error, match=rf"{tmp_path}/a is not a directory\nHINT: create it, or choose another path"):
        observe_program(str(tmp_path / "a" / "b" / "pgark-wal"))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Error, match="what is there is not a file"):
        observe_program(str(tmp_path))


@pytest.mark.parametrize("interpreter", ["", "python3", "/opt/my python/bin/python3"])
def test_an_interpreter_that_no_first_line_can_name_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interpreter: str
) -> None:
    monkeypatch.setattr(sys, "executable", interpreter)
    with pytest.raises(Error, match="HINT: set ansible_python_interpreter for this host"):
        observe_program(str(tmp_path / "pgark-wal"))
    assert os.listdir(tmp_path) == []


def test_killed_at_any_moment_what_is_there_runs_as_the_old_program_or_the_new_one(tmp_path: Path) -> None:
    program, moment, seen = tmp_path / "pgark-wal", 0, set()
    step = InstallProgram(str(program), sys.executable, True)
    while True:
        moment += 1
        install(program)
        source_of(program).write_text("def main(_argv): print('the old one')\n")
        with pytest.MonkeyPatch.context() as patch, killed_at(patch, moment) as done:
            try:
                install_program(step)
            except Killed:
                seen.add(version(program).split()[0])
                continue
        break
    assert seen == {"the", "pgark-wal"}
    assert [change.partition(" ")[0] for change in done] == ["chmod", "fsync", "rename", "fsync"] * 3
    assert version(program).startswith("pgark-wal ")


def test_the_single_file_of_an_earlier_version_goes_on_until_the_last_step(tmp_path: Path) -> None:
    program, moment = tmp_path / "pgark-wal", 0
    while True:
        moment += 1
        program.write_text(f"#!{sys.executable} -IS\n{PROGRAM.read_text()}")
        program.chmod(0o750)
        with pytest.MonkeyPatch.context() as patch, killed_at(patch, moment):
            try:
                install_program(InstallProgram(str(program), sys.executable, True))
            except Killed:
                assert version(program).startswith("pgark-wal ")
                continue
        break
