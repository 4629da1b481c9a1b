# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has begun a staging, and who may go on with it: the same restore from the same repository, and nobody else."""

from __future__ import annotations

from .._errors import Busy, Error
from .data_directory import DataDirectory, Reservation, RestoreRecord, RestoreRequest


def check_reservation(directory: DataDirectory, request: RestoreRequest, alive: bool, force: bool) -> None:
    """Refuse a restore where another one is staged, or has begun to exchange the data.

    ``alive`` tells that the process which has begun the staging still works. What such a process has left half-done is
    staged anew, on its host; what is complete another run may be about to put in place, and only ``force`` discards it.
    Once data has been moved, nothing does: the record of the staging is all that tells where the old data is.
    """
    begun = exchanged(directory)
    if begun is not None and not request.begun_by(begun):
        raise Error(
            f"a restore of {directory.path} to {_named(begun)}, by {_owner(begun.reservation)}, was "
            f"interrupted while the data was exchanged; {request.target}{_from(request.reservation)} is asked for",
            "finish it by running it again with the same target and repository, or go back first with "
            "pitr_rollback.yml; force changes nothing about that",
        )
    if request.in_place(directory) and not force:
        return
    staged = directory.staged
    if staged is None:
        return
    if alive:
        raise Busy(
            f"{directory.staging} is being staged by {_owner(staged.reservation)}", "wait until it has ended, or end it"
        )
    begun_by, host = staged.reservation, None if request.reservation is None else request.reservation.host
    if not staged.complete and begun_by is not None and host not in (None, begun_by.host) and not force:
        raise Error(
            f"{directory.staging} was begun by {_owner(begun_by)}, and is not complete; whether that still works "
            f"cannot be seen from {host}",
            "make sure that it has ended there, or go on there; to stage anew from here, use force: true",
        )
    if staged.complete and not request.staged(directory) and not force:
        raise Error(
            f"{directory.staging} holds a complete staging of {_named(staged)} from backup {staged.backup}, by "
            f"{_owner(staged.reservation)}; asked for is {request.target}{_from(request.reservation)}",
            f"finish that one with the same target and repository, or discard it: with force, or with "
            f"previous_data.yml -e remove={directory.staging}",
        )


def exchanged(directory: DataDirectory) -> RestoreRecord | None:
    """Give the restore that has begun to exchange the data, and has not come to its end."""
    staged = directory.staged
    if directory.kind == "unfinished":
        return directory.record if staged is None or not directory.exchanging else staged
    return staged if directory.set_aside else None


def _named(record: RestoreRecord) -> str:
    return f"{record.target.get('kind')} {record.target.get('value') or ''}".rstrip()


def _owner(reservation: Reservation | None) -> str:
    return "an unknown run" if reservation is None else reservation.text


def _from(reservation: Reservation | None) -> str:
    return "" if reservation is None else f" from {reservation.repository}"
