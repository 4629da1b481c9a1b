# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the steps of a base backup."""

from __future__ import annotations

from dataclasses import replace

from .._core.backup_room import check_still_fits
from .._core.kept_files import Kept
from .._core.plan_backup import (
    CompressWal,
    CopyConfiguration,
    ProveArchiving,
    PublishBackup,
    RemoveLeftover,
    TakeBaseBackup,
    VerifyBackup,
)
from .._errors import Error
from . import archiving, backup, files, kept_files
from .apply import Host, StepTable
from .survey import Survey
from .tools import compression_options, pg_basebackup_cmd


def _remove_leftover(step: RemoveLeftover, host: Host) -> None:
    files.remove_tree(step.path)


def _prove_archiving(step: ProveArchiving, host: Host) -> None:
    archiving.prove_archiving(host.server, [host.place], host.runner, step.timeout)


def _take_base_backup(step: TakeBaseBackup, host: Host) -> None:
    if host.connection is None:
        raise Error("a base backup needs a connection")
    options = compression_options(host.server.version, step.compression)
    argv = pg_basebackup_cmd(host.bin_directory, host.connection, step.path, step.label, step.checkpoint, options)
    started = host.server.now()
    host.tablespaces.update(host.server.tablespaces())
    with backup.removed_on_failure(step.path):
        files.make_directory(step.path, 0o700)
        host.runner.watch(
            argv,
            lambda: check_still_fits(step.path, files.room_of(step.path)),
            environment=host.connection.environment,
        )
    host.taken[:] = [started, host.server.now()]


def _compress_wal(step: CompressWal, host: Host) -> None:
    with backup.removed_on_failure(step.path):
        backup.compress_wal(step.path, step.compression, host.runner)


def _copy_configuration(step: CopyConfiguration, host: Host) -> None:
    settings, authentication = host.server.configuration_sources()
    found = kept_files.gather(settings, authentication, host.data_directory)
    host.kept = Kept(kept_files.copy_files(found, step.path), host.server.origin())


def _verify_backup(step: VerifyBackup, host: Host) -> None:
    if host.identity is None:
        raise Error("a backup is verified for a known cluster only")
    size = host.identity.wal_segment_size
    known = {**host.tablespaces, **host.server.tablespaces()}  # one may have been created or dropped meanwhile
    tablespaces = backup.tablespaces_in(step.path, known)
    cluster = (host.identity.system_identifier, host.server.version, tablespaces)
    facts, manifest = backup.describe(
        step.path, step.label, step.type, step.compression, cluster, (host.taken[0], host.taken[1]), _kept(host)
    )
    backup.verify(step.path, manifest, size, host.runner)
    last = backup.last_segment(manifest.wal[-1], size)
    archiving.prove_archived(host.server, [host.place], host.runner, last, step.timeout)
    latest = Survey(host.place, host.bin_directory, host.runner).latest_end(facts)
    backup.write_description(step.path, replace(facts, latest_end=latest))


def _publish_backup(step: PublishBackup, host: Host) -> None:
    backup.publish(step.path, step.final)


def _kept(host: Host) -> Kept:
    if host.kept is None:
        raise Error("a backup is described once its configuration has been copied")
    return host.kept


STEPS: StepTable = {
    RemoveLeftover: _remove_leftover,
    ProveArchiving: _prove_archiving,
    TakeBaseBackup: _take_base_backup,
    CompressWal: _compress_wal,
    CopyConfiguration: _copy_configuration,
    VerifyBackup: _verify_backup,
    PublishBackup: _publish_backup,
}
