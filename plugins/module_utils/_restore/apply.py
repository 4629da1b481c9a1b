# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the steps that stage a restore, and that hold a configuration against the host."""

from __future__ import annotations

from dataclasses import replace

from .._cluster import staged
from .._configuration import check as configuration_check
from .._configuration import observe as kept_files
from .._configuration.steps import CheckConfiguration, PlaceLinks
from .._host import files
from .._plan.apply import StepTable
from .._server.options import options_line
from . import apply_fitting as fitting
from . import apply_left_segments as left_segments
from . import staging as restore
from .context import RestoreContext
from .fitting import CheckStartable, RaiseSettings
from .steps import (
    BeginStaging,
    CheckLabel,
    CompareWal,
    ConfigureRecovery,
    FinishStaging,
    KeepOptions,
    PlaceLeftSegments,
    RemoveStaging,
    UnpackBackup,
    VerifyStaging,
)
from .wal_saver import WalSaver


def _remove_staging(step: RemoveStaging, _context: object) -> None:
    staged.discard(step.path, step.places)


def _begin_staging(step: BeginStaging, _context: object) -> None:
    restore.begin(step.path, step.record)


def _unpack_backup(step: UnpackBackup, context: RestoreContext) -> None:
    with staged.discarded_on_failure(step.path):
        restore.unpack(step, context.runner)


def _verify_staging(step: VerifyStaging, context: RestoreContext) -> None:
    with staged.discarded_on_failure(step.path):
        restore.verify(step.path, step.backup, step.manifest_sha256, context.bin_directory, context.runner)


def _check_label(step: CheckLabel, context: RestoreContext) -> None:
    with staged.discarded_on_failure(step.path):
        restore.check_staged_label(step, context.bin_directory, context.runner)


def _place_links(step: PlaceLinks, _context: object) -> None:
    kept_files.place_links(step)


def _place_left_segments(step: PlaceLeftSegments, context: RestoreContext) -> None:
    with staged.discarded_on_failure(step.path):
        left_segments.place(step, context.wal_program, context.layouts, context.runner)


def _compare_wal(step: CompareWal, context: RestoreContext) -> None:
    saver = WalSaver(step.old, step.staging, (step.layout, *context.layouts[1:]), context.wal_program, context.runner)
    with staged.discarded_on_failure(step.staging):
        replace(saver, system_identifier=step.system_identifier).compare()


def _configure_recovery(step: ConfigureRecovery, _context: object) -> None:
    restore.configure(step.path, step.settings, step.overrides, step.tablespaces)


def _keep_options(step: KeepOptions, _context: object) -> None:
    files.write_file(f"{step.path}/postmaster.opts", options_line(step.options), 0o600)


def _raise_settings(step: RaiseSettings, context: RestoreContext) -> None:
    context.notes.extend(fitting.raise_settings(step, context.bin_directory, context.runner))


def _check_configuration(step: CheckConfiguration, context: RestoreContext) -> None:
    configuration_check.check_step(step, context.bin_directory, context.runner)


def _check_startable(step: CheckStartable, context: RestoreContext) -> None:
    context.notes.extend(fitting.check_step(step, context.bin_directory, context.runner))


def _finish_staging(step: FinishStaging, _context: object) -> None:
    restore.finish(step.path, step.record, step.mount_point)


STEPS: StepTable = {
    RemoveStaging: _remove_staging,
    BeginStaging: _begin_staging,
    UnpackBackup: _unpack_backup,
    VerifyStaging: _verify_staging,
    CheckLabel: _check_label,
    PlaceLinks: _place_links,
    PlaceLeftSegments: _place_left_segments,
    CompareWal: _compare_wal,
    ConfigureRecovery: _configure_recovery,
    KeepOptions: _keep_options,
    RaiseSettings: _raise_settings,
    CheckConfiguration: _check_configuration,
    CheckStartable: _check_startable,
    FinishStaging: _finish_staging,
}
