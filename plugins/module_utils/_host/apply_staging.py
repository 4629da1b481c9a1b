# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the steps that stage a restore, and that hold a configuration against the host."""

from __future__ import annotations

from dataclasses import replace

from .._core.fitting import CheckStartable, RaiseSettings
from .._core.plan_clone import CheckConfiguration
from .._core.restore_steps import (
    BeginStaging,
    CheckLabel,
    CompareWal,
    ConfigureRecovery,
    FinishStaging,
    KeepOptions,
    PlaceLeftSegments,
    PlaceLinks,
    RemoveStaging,
    UnpackBackup,
    VerifyStaging,
)
from .._core.server_options import options_line
from . import clone, files, fitting, kept_files, left_segments, restore
from .apply import Host, StepTable
from .wal_saver import WalSaver


def _remove_staging(step: RemoveStaging, host: Host) -> None:
    restore.discard(step.path, step.places)


def _begin_staging(step: BeginStaging, host: Host) -> None:
    restore.begin(step.path, step.record)


def _unpack_backup(step: UnpackBackup, host: Host) -> None:
    with restore.discarded_on_failure(step.path):
        restore.unpack(step, host.runner)


def _verify_staging(step: VerifyStaging, host: Host) -> None:
    with restore.discarded_on_failure(step.path):
        restore.verify(step.path, step.backup, step.manifest_sha256, host.bin_directory, host.runner)


def _check_label(step: CheckLabel, host: Host) -> None:
    restore.check_staged_label(step)


def _place_links(step: PlaceLinks, host: Host) -> None:
    kept_files.place_links(step)


def _place_left_segments(step: PlaceLeftSegments, host: Host) -> None:
    with restore.discarded_on_failure(step.path):
        left_segments.place(step, host.wal_program, (host.place, *host.further), host.runner)


def _compare_wal(step: CompareWal, host: Host) -> None:
    saver = WalSaver(step.old, "", (step.layout, *host.further), host.wal_program, host.runner)
    replace(saver, system_identifier=step.system_identifier).compare()


def _configure_recovery(step: ConfigureRecovery, host: Host) -> None:
    restore.configure(step.path, step.settings, step.overrides, step.tablespaces)


def _keep_options(step: KeepOptions, host: Host) -> None:
    files.write_file(f"{step.path}/postmaster.opts", options_line(step.options), 0o600)


def _raise_settings(step: RaiseSettings, host: Host) -> None:
    host.notes += fitting.raise_settings(step, host.bin_directory, host.runner)


def _check_configuration(step: CheckConfiguration, host: Host) -> None:
    clone.check_step(step, host.bin_directory, host.runner)


def _check_startable(step: CheckStartable, host: Host) -> None:
    host.notes += fitting.check_step(step, host.bin_directory, host.runner)


def _finish_staging(step: FinishStaging, host: Host) -> None:
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
