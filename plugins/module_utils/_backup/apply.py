# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the steps of a base backup."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from .._archiving import observe as archiving
from .._configuration import observe as kept_files
from .._configuration.files import Kept
from .._errors import Error
from .._host import files
from .._host.runner import CommandRunner
from .._host.tools import compression_options, pg_basebackup_cmd
from .._plan.apply import StepTable
from .._repository.layout import Layout
from .._server.server import Server
from .._wal.identity import Identity
from .._windows.observe import WindowReader
from . import observe as backup
from .plan import (
    CompressWal,
    CopyConfiguration,
    ProveArchiving,
    PublishBackup,
    RemoveLeftover,
    TakeBaseBackup,
    VerifyBackup,
)
from .space import check_still_fits


@dataclass
class BackupContext:
    """The server that is backed up, and the cluster's place in the repository.

    ``taken`` is when the backup under way was started and stopped, by the server's clock; ``tablespaces`` are those
    that the server had before it, ``kept`` its configuration outside of the data directory.
    """

    runner: CommandRunner
    bin_directory: str
    server: Server
    layout: Layout
    identity: Identity | None
    data_directory: str
    taken: list[datetime] = field(default_factory=list)
    tablespaces: dict[str, str] = field(default_factory=dict)
    kept: Kept | None = None


def _remove_leftover(step: RemoveLeftover, _context: object) -> None:
    files.remove_tree(step.path)


def _prove_archiving(step: ProveArchiving, context: BackupContext) -> None:
    archiving.prove_archiving(context.server, [context.layout], context.runner, step.timeout)


def _take_base_backup(step: TakeBaseBackup, context: BackupContext) -> None:
    options, connection = compression_options(context.server.version, step.compression), context.server.where
    argv = pg_basebackup_cmd(context.bin_directory, connection, step.path, step.label, step.checkpoint, options)
    started = context.server.now()
    context.tablespaces.update(context.server.tablespaces())
    with backup.removed_on_failure(step.path):
        files.make_directory(step.path, 0o700)
        context.runner.watch(
            argv,
            lambda: check_still_fits(step.path, files.room_of(step.path)),
            environment=connection.environment,
        )
    context.taken[:] = [started, context.server.now()]


def _compress_wal(step: CompressWal, context: BackupContext) -> None:
    with backup.removed_on_failure(step.path):
        backup.compress_wal(step.path, step.compression, context.runner)


def _copy_configuration(step: CopyConfiguration, context: BackupContext) -> None:
    settings, authentication = context.server.configuration_sources()
    found = kept_files.gather(settings, authentication, context.data_directory)
    context.kept = Kept(kept_files.copy_files(found, step.path), context.server.origin())


def _verify_backup(step: VerifyBackup, context: BackupContext) -> None:
    if context.identity is None:
        raise Error("a backup is verified for a known cluster only")
    size = context.identity.wal_segment_size
    known = {**context.tablespaces, **context.server.tablespaces()}  # one may have been created or dropped meanwhile
    tablespaces = backup.tablespaces_in(step.path, known)
    cluster = (context.identity.system_identifier, context.server.version, tablespaces)
    facts, manifest = backup.describe(
        step.path,
        step.label,
        step.type,
        step.compression,
        cluster,
        (context.taken[0], context.taken[1]),
        _kept(context),
    )
    backup.verify(step.path, manifest, size, context.runner)
    last = backup.last_segment(manifest.wal[-1], size)
    archiving.prove_archived(context.server, [context.layout], context.runner, last, step.timeout)
    latest = WindowReader(context.layout, context.bin_directory, context.runner).latest_end(facts)
    backup.write_description(step.path, replace(facts, latest_end=latest))


def _publish_backup(step: PublishBackup, _context: object) -> None:
    backup.publish(step.path, step.final)


def _kept(context: BackupContext) -> Kept:
    if context.kept is None:
        raise Error("a backup is described once its configuration has been copied")
    return context.kept


STEPS: StepTable = {
    RemoveLeftover: _remove_leftover,
    ProveArchiving: _prove_archiving,
    TakeBaseBackup: _take_base_backup,
    CompressWal: _compress_wal,
    CopyConfiguration: _copy_configuration,
    VerifyBackup: _verify_backup,
    PublishBackup: _publish_backup,
}
