# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A runner that knows which programs will be called, and an interruption of what changes the disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import CommandFailed
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import CommandRunner, Result

Act = Callable[[str | None], Result]


class FakeRunner(CommandRunner):
    """Answer the calls that a test announces, in their order, and fail on any other."""

    def __init__(self, *announced: tuple[Sequence[str], Result | Act]) -> None:
        super().__init__()
        self.announced = list(announced)

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        environment: Mapping[str, str] | None = None,
        directory: str | None = None,
        source: IO[bytes] | None = None,
        target: IO[bytes] | None = None,
        whole_environment: Mapping[str, str] | None = None,
        limit: float | None = None,
    ) -> Result:
        assert self.announced, f"unexpected call of {argv}"
        expected, answer = self.announced.pop(0)
        assert list(argv) == list(expected)
        result = answer if isinstance(answer, Result) else answer(directory)
        if check and result.status != 0:
            raise CommandFailed(f"{argv[0]} ended with status {result.status}: {result.stderr}")
        return result


OK = Result(0, "", "")

CHANGES = ("rename", "mkdir", "unlink", "rmdir", "symlink", "fsync", "chmod")


class Killed(BaseException):
    """The process was killed here; nothing catches it."""


@contextmanager
def killed_at(patch: pytest.MonkeyPatch, moment: int, after: bool = False) -> Iterator[list[str]]:
    """End with Killed before, or after, the change with that number (from 1); gives what was changed up to then."""
    done: list[str] = []

    def interrupting(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def change(*arguments: Any, **options: Any) -> Any:
            done.append(f"{name} {_shown(arguments[0])}")
            if len(done) == moment and not after:
                raise Killed
            result = real(*arguments, **options)
            if len(done) == moment:
                raise Killed
            return result

        return change

    with patch.context() as patched:
        for name in CHANGES:
            patched.setattr(os, name, interrupting(name))
        yield done


def _shown(target: object) -> str:
    return os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else str(target)


def changes_of(patch: pytest.MonkeyPatch, work: Callable[[], object]) -> list[str]:
    """Do some work and list what it changed."""
    with killed_at(patch, 0) as done:
        work()
    return done


@contextmanager
def full(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a file system be full: nothing is made and no file grows; what a file has can be written over."""
    real_open, real_pwrite = os.open, os.pwrite

    def opened(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_CREAT and not os.path.lexists(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        return real_open(path, flags, *arguments, **options)

    def written(descriptor: int, content: bytes, offset: int) -> int:
        if offset + len(content) > os.fstat(descriptor).st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_pwrite(descriptor, content, offset)

    def made(path: Any, *_arguments: Any, **_options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def linked(_target: Any, path: Any) -> None:
        made(path)

    with patch.context() as patched:
        patched.setattr(os, "open", opened)
        patched.setattr(os, "pwrite", written)
        patched.setattr(os, "symlink", linked)
        patched.setattr(os, "mkdir", made)
        yield
