# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out a plan: one function a kind of step."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import singledispatch

from .._core.catalog import Identity
from .._core.layout import Layout
from .._core.plan import AlterSystem, MakeDirectory, Plan, ReloadServer, SetAccess, Step, WriteDocument
from .._core.plan_backup import (
    CopyConfiguration,
    ProveArchiving,
    PublishBackup,
    RemoveLeftover,
    TakeBaseBackup,
    VerifyBackup,
)
from .._core.plan_clone import CheckConfiguration
from .._core.plan_detach import ChangeIdentity, NoteIdentity, OfferHistory, ResetWal
from .._core.plan_program import InstallProgram
from .._core.plan_rollback import BringBack, ForgetRollback, NoteRollback
from .._core.restore_steps import (
    BeginStaging,
    ConfigureRecovery,
    FinishStaging,
    NoteUndo,
    PutInPlace,
    ReleaseControl,
    RemoveStaging,
    RestoreConfiguration,
    SaveWal,
    SetAside,
    SwapEntries,
    UnpackBackup,
    VerifyStaging,
)
from .._errors import Error
from . import archiving, backup, clone, files, identity, program, restore, rollback
from .cluster import write_record
from .runner import CommandRunner
from .server import Server
from .tools import Connection, compression_options, pg_basebackup_cmd


@dataclass
class Host:
    """What steps work with; each kind of plan needs only a part of it.

    ``taken`` is when the backup under way was started and stopped, by the server's clock; ``tablespaces`` are those
    that the server had before it. ``further`` are the cluster's places in other repositories, which get its WAL, too.
    """

    runner: CommandRunner
    bin_directory: str = ""
    connection: Connection | None = None
    opened: Server | None = None
    layout: Layout | None = None
    further: tuple[Layout, ...] = ()
    identity: Identity | None = None
    data_directory: str = ""
    wal_program: str = ""
    taken: list[datetime] = field(default_factory=list)
    tablespaces: dict[str, str] = field(default_factory=dict)

    @property
    def server(self) -> Server:
        """The server that the plan was made for."""
        if self.opened is None:
            raise Error("a running server is needed, and none is connected")
        return self.opened


def apply(plan: Plan, host: Host) -> None:
    """Carry out the steps of a plan in their order."""
    for step in plan.steps:
        carry_out(step, host)


@singledispatch
def carry_out(step: Step, host: Host) -> None:
    """Carry out one step."""
    raise TypeError(f"no function carries out {type(step).__name__}")


@carry_out.register
def _make_directory(step: MakeDirectory, host: Host) -> None:
    files.make_directory(step.path, step.mode, step.group)


@carry_out.register
def _set_access(step: SetAccess, host: Host) -> None:
    files.set_access(step.path, step.mode, step.group)


@carry_out.register
def _write_document(step: WriteDocument, host: Host) -> None:
    files.write_json(step.path, step.content, step.mode, step.group)


@carry_out.register
def _install_program(step: InstallProgram, host: Host) -> None:
    program.install_program(step)


@carry_out.register
def _alter_system(step: AlterSystem, host: Host) -> None:
    host.server.alter_system(step.name, step.value)


@carry_out.register
def _reload_server(step: ReloadServer, host: Host) -> None:
    host.server.reload()


@carry_out.register
def _remove_leftover(step: RemoveLeftover, host: Host) -> None:
    files.remove_tree(step.path)


@carry_out.register
def _prove_archiving(step: ProveArchiving, host: Host) -> None:
    archiving.prove_archiving(host.server, [_layout(host)], host.runner, step.timeout)


@carry_out.register
def _take_base_backup(step: TakeBaseBackup, host: Host) -> None:
    if host.connection is None:
        raise Error("a base backup needs a connection")
    options = compression_options(host.server.version, step.compression)
    argv = pg_basebackup_cmd(host.bin_directory, host.connection, step.path, step.label, step.checkpoint, options)
    started = host.server.now()
    host.tablespaces.update(host.server.tablespaces())
    files.make_directory(step.path, 0o700)
    host.runner.run(argv, environment=host.connection.environment)
    host.taken[:] = [started, host.server.now()]


@carry_out.register
def _verify_backup(step: VerifyBackup, host: Host) -> None:
    if host.identity is None:
        raise Error("a backup is verified for a known cluster only")
    size = host.identity.wal_segment_size
    known = {**host.tablespaces, **host.server.tablespaces()}  # one may have been created or dropped meanwhile
    tablespaces = {oid: known[oid] for oid in backup.tar_files(step.path) if oid in known}
    cluster = (host.identity.system_identifier, host.server.version, tablespaces)
    facts, manifest = backup.describe(
        step.path, step.label, step.type, step.compression, cluster, (host.taken[0], host.taken[1])
    )
    backup.verify(step.path, manifest, size, host.runner)
    last = backup.last_segment(manifest.wal[-1], size)
    archiving.wait_archived(host.server, _layout(host), last, step.timeout)
    backup.write_description(step.path, facts)


@carry_out.register
def _copy_configuration(step: CopyConfiguration, host: Host) -> None:
    backup.copy_configuration(host.server.configuration_files(), host.data_directory, step.path)


@carry_out.register
def _publish_backup(step: PublishBackup, host: Host) -> None:
    backup.publish(step.path, step.final)


@carry_out.register
def _remove_staging(step: RemoveStaging, host: Host) -> None:
    restore.discard(step.path, step.places)


@carry_out.register
def _begin_staging(step: BeginStaging, host: Host) -> None:
    restore.begin(step.path, step.record)


@carry_out.register
def _unpack_backup(step: UnpackBackup, host: Host) -> None:
    restore.unpack(step.backup, step.path, step.tablespaces, step.wal, host.runner)


@carry_out.register
def _verify_staging(step: VerifyStaging, host: Host) -> None:
    restore.verify(step.path, step.backup, step.manifest_sha256, host.bin_directory, host.runner)


@carry_out.register
def _configure_recovery(step: ConfigureRecovery, host: Host) -> None:
    restore.configure(step.path, step.settings, step.overrides, step.tablespaces)


@carry_out.register
def _finish_staging(step: FinishStaging, host: Host) -> None:
    restore.finish(step.path, step.record, step.mount_point)


@carry_out.register
def _save_wal(step: SaveWal, host: Host) -> None:
    saved = restore.WalSaver(step.old, step.staging, (step.layout, *host.further), host.wal_program, host.runner)
    saved.run()


@carry_out.register
def _restore_configuration(step: RestoreConfiguration, host: Host) -> None:
    restore.restore_configuration(step.backup, step.directory)


@carry_out.register
def _note_undo(step: NoteUndo, host: Host) -> None:
    write_record(step.path, step.record)


@carry_out.register
def _note_rollback(step: NoteRollback, host: Host) -> None:
    rollback.note(step.path, step.source, step.aside, host.bin_directory, host.runner)


@carry_out.register
def _bring_back(step: BringBack, host: Host) -> None:
    rollback.bring_back(step.path, step.source, step.aside, step.journal)


@carry_out.register
def _forget_rollback(step: ForgetRollback, host: Host) -> None:
    rollback.forget(step.path)


@carry_out.register
def _set_aside(step: SetAside, host: Host) -> None:
    files.rename(step.path, step.previous)


@carry_out.register
def _put_in_place(step: PutInPlace, host: Host) -> None:
    files.rename(step.staging, step.path)


@carry_out.register
def _swap_entries(step: SwapEntries, host: Host) -> None:
    restore.swap_entries(step.path, step.staging, step.previous, step.entries)


@carry_out.register
def _release_control(step: ReleaseControl, host: Host) -> None:
    restore.release_control(step.path)


@carry_out.register
def _check_configuration(step: CheckConfiguration, host: Host) -> None:
    clone.check_step(step, host.bin_directory, host.runner)


@carry_out.register
def _note_identity(step: NoteIdentity, host: Host) -> None:
    identity.note(step.path, step.record)


@carry_out.register
def _offer_history(step: OfferHistory, host: Host) -> None:
    identity.offer_history(step.path, step.name)


@carry_out.register
def _change_identity(step: ChangeIdentity, host: Host) -> None:
    identity.change(step.path, step.identifier)


@carry_out.register
def _reset_wal(step: ResetWal, host: Host) -> None:
    identity.reset_wal(step.path, host.bin_directory, host.runner)


def _layout(host: Host) -> Layout:
    if host.layout is None:
        raise Error("a repository is needed, and none is named")
    return host.layout
