# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON documents that others could have written: nothing in them is believed before its type and range were looked at.

A document is read into a dataclass; how each field is read follows from its annotation, or is said by the caller.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from datetime import datetime, timezone
from typing import Any, TypeVar

from .._errors import InvalidValue, shown
from .._wal.names import Lsn
from .times import parse_time

Reader = Callable[[Any], Any]
Read = TypeVar("Read")

_LONGEST_NUMBER = 25
_LONGEST_TEXT = 4096  # PATH_MAX, and more than any other text that we write
_DEEPEST = 20  # ours have five
# Within a day of what a datetime can hold, another zone has none; no server wrote before there were any.
_MOMENTS = (datetime(1000, 1, 1, tzinfo=timezone.utc), datetime(9999, 12, 31, tzinfo=timezone.utc))
_SEAL = "sha256"
_HINT = "it was changed by hand, or damaged"


class Unfit(Exception):
    """A value is not what was expected, which this says."""


def parse_document(name: str, content: bytes) -> dict[str, Any]:
    """Read the bytes of a JSON object, however they were made up; ``name`` says in errors what they are."""
    try:
        document = json.loads(content.decode(), parse_int=_parse_int, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidValue(f"{name} is not a JSON document of ours: it is nested too deeply", _HINT) from None
    except ValueError as error:
        raise InvalidValue(f"{name} is not a JSON document: {error}", _HINT) from None
    if not _is_flat(document):  # what cannot be written, or quoted, is not worth to be looked at
        raise InvalidValue(f"{name} is not a JSON document of ours: it is nested too deeply", _HINT)
    if not isinstance(document, dict):
        raise InvalidValue(f"{name} holds a {type(document).__name__}, expected a JSON object", _HINT)
    return document


def _is_flat(document: object) -> bool:
    level = [document]
    for _depth in range(_DEEPEST):
        inner = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, (dict, list)))
        level = [each for values in inner for each in values if isinstance(each, (dict, list))]
    return not level


def seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """Give a document with a checksum over all that it says."""
    return {**document, _SEAL: _checksum(document)}


def check_seal(name: str, document: Mapping[str, Any]) -> None:
    """Refuse a document that does not say what its checksum was made over."""
    found, expected = document.get(_SEAL), _checksum(document)
    if found != expected:
        what = "has no checksum" if found is None else f"was changed: its SHA-256 is {expected}, it says {shown(found)}"
        raise InvalidValue(f"{name} {what}", _HINT)


def _checksum(document: Mapping[str, Any]) -> str:
    covered = {key: value for key, value in document.items() if key != _SEAL}
    return hashlib.sha256(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _parse_int(digits: str) -> int:
    # The time that int() takes grows with the square of their number.
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no number in JSON")


def read_fields(cls: Callable[..., Read], name: str, document: Mapping[str, Any], **special: Reader) -> Read:
    """Make a dataclass of a document's fields; what it has on top is left alone.

    ``special`` are readers for fields whose annotation does not say enough. Raises InvalidValue with the ``name``.
    """
    values = {}
    for field in fields(cls):  # type: ignore[arg-type]  # a dataclass, which typing has no word for on Python 3.9
        reader = special.get(field.name) or _READERS[str(field.type)]
        if field.name in document:
            values[field.name] = _taken(name, field.name, document[field.name], reader)
        elif _is_required(field):
            raise InvalidValue(f"{name} has no {field.name}, expected one", _HINT)
    return cls(**values)


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _taken(name: str, key: str, value: object, reader: Reader) -> Any:
    try:
        return reader(value)
    except Unfit as error:
        raise InvalidValue(f"{name} has {key} {shown(value)}, expected {error}", _HINT) from None


def number(low: int, high: int) -> Reader:
    """Give a reader of whole numbers in a range."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Unfit(f"a whole number from {low} to {high}")
        return value

    return read


def matching(pattern: str, what: str) -> Reader:
    """Give a reader of texts that match a regular expression as a whole."""
    compiled = re.compile(pattern, re.ASCII)

    def read(value: object) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise Unfit(what)
        return value

    return read


def one_of(*values: str | int) -> Reader:
    """Give a reader of one of some values of one type."""

    def read(value: object) -> object:
        if type(value) is not type(values[0]) or value not in values:
            raise Unfit(f"one of {', '.join(map(str, values))}")
        return value

    return read


def optional(reader: Reader) -> Reader:
    """Give a reader that takes null, too."""
    return lambda value: None if value is None else reader(value)


def sequence(reader: Reader, longest: int = 10_000) -> Reader:
    """Give a reader of arrays."""

    def read(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > longest:
            raise Unfit(f"an array of at most {longest} values")
        return tuple(reader(each) for each in value)

    return read


def mapping(values: Reader, keys: Reader | None = None) -> Reader:
    """Give a reader of objects whose names and values are of one kind."""

    def read(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Unfit("an object")
        return {(keys or text)(key): values(each) for key, each in value.items()}

    return read


def record_of(cls: Callable[..., Any], **special: Reader) -> Reader:
    """Give a reader of objects that become a dataclass of their own."""

    def read(value: object) -> Any:
        if not isinstance(value, dict):
            raise Unfit("an object")
        try:
            return read_fields(cls, "an object that", value, **special)
        except InvalidValue as error:
            raise Unfit(f"another one: {error.message}") from None

    return read


def text(value: object) -> str:
    """Read a text that a file or a path can hold."""
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or "\0" in value or not _is_encodable(value):
        raise Unfit(f"a text of at most {_LONGEST_TEXT} characters")
    return value


def _is_encodable(value: str) -> bool:
    try:
        value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def path(value: object) -> str:
    """Read an absolute path that leads nowhere but down."""
    found = text(value)
    if not found.startswith("/") or ".." in found.split("/"):
        raise Unfit("an absolute path without '..'")
    return found


def boolean(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise Unfit("true or false")
    return value


def lsn(value: object) -> Lsn:
    """Read a position in the WAL."""
    try:
        return Lsn.parse(text(value))
    except InvalidValue:
        raise Unfit("an LSN such as 0/3000028") from None


def moment(value: object) -> datetime:
    """Read a time with its offset from UTC."""
    try:
        found = parse_time(text(value))
    except InvalidValue:
        found = None
    if found is None or not _MOMENTS[0] <= found < _MOMENTS[1]:
        raise Unfit("a time such as 2026-11-21T01:15:00.000000Z")
    return found


def scalar(value: object) -> Any:
    """Read a value that is neither an array nor an object."""
    if value is not None and not isinstance(value, (str, int, float)):
        raise Unfit("a text, a number, true, false or null")
    return text(value) if isinstance(value, str) else value


_COUNT = number(0, (1 << 63) - 1)
TIMELINE = number(1, (1 << 32) - 1)
_READERS: Mapping[str, Reader] = {
    "str": text,
    "str | None": optional(text),
    "int": _COUNT,
    "int | None": optional(_COUNT),
    "bool": boolean,
    "Lsn": lsn,
    "Lsn | None": optional(lsn),
    "datetime": moment,
    "datetime | None": optional(moment),
    "tuple[str, ...]": sequence(text),
    "Mapping[str, str]": mapping(text),
    "Mapping[str, int]": mapping(_COUNT),
    "Mapping[str, str | None]": mapping(optional(text)),
    "Mapping[str, Any]": mapping(scalar),
}
