# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit a staged configuration to the WAL that is to be replayed, and hold it against what this host has."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from .._cluster.observe import started_with, write_record
from .._cluster.staged import recorded
from .._configuration.files import AUTOMATIC, MAIN, is_below
from .._configuration.observe import Gatherer, check_readable
from .._configuration.rehearsal import laid_out
from .._errors import CommandFailed, Error
from .._host.files import private_mode, read_small, write_file
from .._host.processes import memory
from .._host.runner import CommandRunner
from .._host.tools import ANSWER_SECONDS, control_data, effective_setting_cmd, library_directory_cmd
from .._server.options import kept_words, parse_options
from .._server.recovery_settings import automatic_value, changed_configuration
from . import held_control
from .fitting import CheckStartable, RaiseSettings
from .libraries import REQUIRED, Places, archive_library_missing, missing, not_looked_for, split_list
from .parameters import (
    MORE_THAN_MINIMAL,
    RESERVED,
    asked_by_control,
    check_memory,
    check_minimal,
    check_not_given,
    check_processes,
    check_reserved,
    highest,
    missing_file,
    of_processes,
    raised_text,
    too_small,
)

_ARCHIVE_LIBRARY_SINCE = 15
_BLOCK = 8192  # BLCKSZ as PostgreSQL is built everywhere
_CERTIFICATES = ("ssl_cert_file", "ssl_key_file", "ssl_ca_file", "ssl_crl_file")
# A library that every server has, in the directory of its own ones.
_OWN_LIBRARY = "libpqwalreceiver.so"
# Where that directory is, seen from the one above the programs: PostgreSQL's own places, RHEL's, Alpine's.
_LIBRARY_DIRECTORIES = ("lib", "lib/postgresql", "lib64/pgsql", "lib/pgsql", "lib64/postgresql", "lib/*/postgresql")


@dataclass(frozen=True)
class Staged:
    """A staged data directory, which will be ``place``, and the server's own program, which is asked about settings.

    Below the ``root`` are files of the backup that are not in their places yet.

    Its data directory is named on the command line: a configuration that names the one in use would have the program
    read what ALTER SYSTEM has written there.
    """

    directory: str
    config_file: str | None
    place: str
    bin_directory: str
    runner: CommandRunner
    root: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """Give the words of the command line that the server will be started with again."""
        return kept_words(started_with(self.directory, None), configured=self.config_file is not None)

    @property
    def main(self) -> str:
        """Give the main configuration file."""
        given = [option.value for option in parse_options(self.words) if option.name == "config_file"]
        return self.config_file or (given[-1] if given else f"{self.directory}/{MAIN}")

    def setting(self, name: str) -> str:
        """Give a setting as the server will have it."""
        more = ("-c", f"data_directory={self.directory}", *self.words)
        argv = effective_setting_cmd(self.bin_directory, name, self.directory, self.config_file, more)
        try:
            return self.runner.run(argv, limit=ANSWER_SECONDS).stdout.rstrip("\n")
        except CommandFailed as error:
            words = error.message if self.root is None else error.message.replace(self.root, "")
            raise Error(
                f"the configuration in {self.shown(self.main)} cannot be read: {words}",
                "correct it; what the cluster had when it was backed up lies in config/ of the backup, as backup.json "
                "says",
            ) from None

    def settings(self, names: Iterable[str]) -> dict[str, str]:
        """Give several settings."""
        return {name: self.setting(name) for name in names}

    def where(self, name: str) -> str:
        """Say for a person where a setting is made."""
        if any(option.name == name for option in parse_options(self.words)):
            return "on the server's command line"
        gatherer = Gatherer(self.directory)
        with suppress(Error, OSError):  # what cannot be read is not named
            for path in (self.main, f"{self.directory}/{AUTOMATIC}"):
                gatherer.settings(path)
        made = [path for path, text in gatherer.read.items() if automatic_value(text, name) is not None]
        return f"set in {', '.join(map(self.shown, made))}" if made else "as the server says"

    def shown(self, path: str) -> str:
        """Name a file as a person knows it."""
        if self.root is not None and is_below(path, self.root):
            return f"{path[len(self.root) :]}, as it will be"
        inside = self.directory != self.place and is_below(path, self.directory)
        return f"{path[len(self.directory) + 1 :]} of the restored data" if inside else path

    def has(self, path: str) -> bool:
        """Tell whether a file will be there; one in the data directory is looked for where that is now.

        By whatever link the configuration names the data directory, which need not be there any more.
        """
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        now = f"{self.directory}{path[len(self.place) :]}" if is_below(path, self.place) else path
        return not os.path.isdir(now) and os.access(now, os.R_OK)

    def control(self) -> dict[str, str]:
        """Read the control file of the backup, which does not have its name yet."""
        with held_control.as_it_will_be(self.directory) as scratch:
            return control_data(self.runner, self.bin_directory, scratch)


@contextmanager
def _prepared(step: RaiseSettings | CheckStartable, bin_directory: str, runner: CommandRunner) -> Iterator[Staged]:
    """Give what is staged, with the files that are to be put back as if they were in their places."""
    staged = Staged(step.directory, step.config_file, step.place, bin_directory, runner)
    if step.put_back is None:
        _check_readable(staged)
        yield staged
        return
    with laid_out(step.put_back, step.directory) as root:
        staged = replace(staged, config_file=root + step.put_back.main, root=root)
        _check_readable(staged)
        yield staged


def _check_readable(staged: Staged) -> None:
    try:
        check_readable([staged.main, f"{staged.directory}/{AUTOMATIC}"], [], staged.directory)
    except Error as error:
        raise Error(
            error.message if staged.root is None else error.message.replace(staged.root, ""), error.hint
        ) from None


def raise_settings(step: RaiseSettings, bin_directory: str, runner: CommandRunner) -> list[str]:
    """Raise what is too small for the WAL, and say what that was; what is too small on a command line is refused."""
    with _prepared(step, bin_directory, runner) as staged:
        return _raise(step, staged)


def _raise(step: RaiseSettings, staged: Staged) -> list[str]:
    needed = highest(step.needed, asked_by_control(staged.control()))
    small = too_small({name: int(value) for name, value in staged.settings(needed).items()}, needed)
    check_not_given(small, needed, staged.words, f"postmaster.opts of {step.place}")
    record = recorded(step.directory)
    noted = replace(record, needed=needed, raised={**small, **record.raised})
    if noted != record:  # before they are raised: a run that is killed in between finds them too small once more
        write_record(step.directory, noted)
    if small:
        path = f"{step.directory}/{AUTOMATIC}"
        raised = {name: str(needed[name]) for name in small}
        text = changed_configuration(os.fsdecode(read_small(path)), raised)
        write_file(path, text, private_mode(step.directory))
    return [raised_text(name, found, needed[name]) for name, found in small.items()]


def check_step(step: CheckStartable, bin_directory: str, runner: CommandRunner) -> list[str]:
    """Refuse a configuration with which no server starts; gives what a person should know about it."""
    with _prepared(step, bin_directory, runner) as staged:
        return _check(step, staged)


def _check(step: CheckStartable, staged: Staged) -> list[str]:
    check_reserved(staged.settings(["max_connections", *_known(RESERVED, step.major)]))
    if staged.setting("wal_level") == "minimal":
        check_minimal(staged.settings(_known(MORE_THAN_MINIMAL, step.major)))
    buffers = int(staged.setting("shared_buffers")) * _BLOCK
    check_memory(buffers, memory())
    check_processes(staged.settings(of_processes(step.major)), buffers, memory())
    _check_certificates(staged)
    return check_libraries(staged, step.major)


def _known(settings: Mapping[str, int], major: int) -> list[str]:
    """Name the settings that there are in a version."""
    return [name for name, since in settings.items() if major >= since]


def check_libraries(staged: Staged, major: int) -> list[str]:
    """Refuse libraries that are not here; gives what a person should know about others."""
    wanted = [(setting, name) for setting in REQUIRED for name in split_list(staged.setting(setting))]
    library = staged.setting("archive_library") if major >= _ARCHIVE_LIBRARY_SINCE else ""
    if not wanted and not library:
        return []
    own = library_directory(staged.bin_directory, staged.runner)
    places = Places(own, staged.setting("dynamic_library_path"), staged.place)
    unknown = []
    for setting, name in wanted:
        looked = places.of(name, setting)
        if looked is None:
            unknown.append(name)
        elif not any(map(staged.has, looked)):
            raise missing(name, setting, looked, staged.where(setting), major)
    looked = places.of(library, "archive_library") if library else None
    lacking = looked is not None and not any(map(staged.has, looked)) and staged.setting("archive_mode") != "off"
    warned = [archive_library_missing(library, staged.where("archive_library"))] if lacking else []
    return [*([not_looked_for(unknown)] if unknown else []), *warned]


def _check_certificates(staged: Staged) -> None:
    """Refuse what a server cannot read that is to speak TLS: be_tls_init() in src/backend/libpq/be-secure-openssl.c."""
    if staged.setting("ssl") != "on":
        return
    for setting in _CERTIFICATES:
        name = staged.setting(setting)
        if name and not staged.has(os.path.join(staged.place, name)):
            raise missing_file(setting, name, staged.where(setting))


def library_directory(bin_directory: str, runner: CommandRunner) -> str | None:
    """Find the directory that a server calls $libdir; None when that is not certain.

    A server finds it from where its program is, by what it was built with: ``get_pkglib_path`` in
    ``src/port/path.c``. pg_config does the same, where it is installed.
    """
    programs = os.path.dirname(os.path.realpath(f"{bin_directory}/postgres"))
    for directory in (bin_directory, programs):
        if os.access(f"{directory}/pg_config", os.X_OK):
            with suppress(CommandFailed):
                told = runner.run(library_directory_cmd(directory)).stdout.strip()
                if os.path.exists(f"{told}/{_OWN_LIBRARY}"):
                    return told
    above = glob.escape(os.path.dirname(programs))
    patterns = [f"{above}/{each}/{_OWN_LIBRARY}" for each in _LIBRARY_DIRECTORIES]
    found = {os.path.realpath(os.path.dirname(path)) for pattern in patterns for path in glob.glob(pattern)}
    return found.pop() if len(found) == 1 else None
