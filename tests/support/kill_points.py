# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have pgark-wal die just before a system call that is counted, while PostgreSQL calls it."""

from __future__ import annotations

from pathlib import Path

from tests.unit.wal_program.harness import CALLS, PROGRAM

# What it does besides: an acknowledgement, the end of the spool, the helper's beginning.
COUNTED = sorted({*CALLS, "symlink", "rmdir", "fork"})
_LAST_LINES = 'if __name__ == "__main__":\n'
# Beside the program are .point, which says who dies, at which call, or that calls fail, and .killed.
_TAMPER = f"""
def die_at_a_point():
    import signal
    beside = sys.argv[0]
    real_open, real_write, real_unlink = os.open, os.write, os.unlink

    def told():
        try:
            with open(beside + ".point") as file:
                return file.read().split()
        except FileNotFoundError:
            return []

    mine = told()
    if not mine:
        return
    victim, point, mode = mine
    if mode == "hold" and sys.argv[1] == victim:
        os._exit(1)
    whole = len(os.path.basename(sys.argv[-1])) == 24 or len(sys.argv[-2]) == 24
    state = {{"who": sys.argv[1] if whole else "", "number": 0}}

    def die(call):
        fd = real_open(beside + ".killed", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        real_write(fd, f"{{victim}} {{point}} {{call}}\\n".encode())
        if told() == mine:  # another one that was told the same may have died first
            real_unlink(beside + ".point")
        os.kill(os.getpid(), signal.SIGKILL)

    def counted(call, real):
        def wrapped(*arguments, **options):
            state["number"] += 1
            if state["who"] == victim and state["number"] == int(point):
                die(call)
            result = real(*arguments, **options)
            if call == "fork" and result == 0:
                state.update(who="helper", number=0)
            return result
        return wrapped

    for call in {COUNTED}:
        setattr(os, call, counted(call, getattr(os, call)))


"""
_BEGIN = "    die_at_a_point()\n"


def with_kill_points() -> str:
    """Return the program, which looks for a point at which to die when it is called."""
    text = PROGRAM.read_text(encoding="utf-8")
    assert text.count(_LAST_LINES) == 1
    return text.replace(_LAST_LINES, _TAMPER.lstrip() + _LAST_LINES + _BEGIN)


class KillPoints:
    """Says to an installed program where to die."""

    def __init__(self, program: Path) -> None:
        self._point = program.with_name(f"{program.name}.point")
        self._killed = program.with_name(f"{program.name}.killed")

    def hold(self, victim: str) -> None:
        """Have every call of this command fail before it has done anything."""
        self._write(victim, 0, "hold")

    def once(self, victim: str, point: int) -> None:
        """Have one call die at this point, and those after it live."""
        self._write(victim, point, "once")

    def is_set(self) -> bool:
        """Tell whether nobody has come by the point at which to die yet."""
        return self._point.exists()

    def none(self) -> None:
        """Have every call live."""
        self._point.unlink(missing_ok=True)

    def killed(self) -> list[str]:
        """Return the calls that somebody has died before."""
        return self._killed.read_text().splitlines() if self._killed.exists() else []

    def _write(self, victim: str, point: int, mode: str) -> None:
        whole = self._point.with_suffix(".new")
        whole.write_text(f"{victim} {point} {mode}")
        whole.chmod(0o666)
        whole.rename(self._point)
