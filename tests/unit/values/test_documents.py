# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A document is read into what it may be, or refused with a sentence, whatever somebody has put there."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import RestoreRecord
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error, InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._repository import cluster_document
from ansible_collections.pgark.postgres.plugins.module_utils._repository.catalog import Backup
from ansible_collections.pgark.postgres.plugins.module_utils._rollback.situation import Journal
from ansible_collections.pgark.postgres.plugins.module_utils._values.documents import (
    mapping,
    number,
    optional,
    parse_document,
    path,
    read_fields,
    record_of,
    sequence,
)
from ansible_collections.pgark.postgres.plugins.module_utils._wal.identity import Identity


@dataclass(frozen=True)
class Inner:
    """What is in another one."""

    name: str


@dataclass(frozen=True)
class Subject:
    """A document of every kind of field."""

    count: int
    inner: Inner
    names: tuple[str, ...] = ()
    note: str | None = None
    places: Mapping[str, str] = field(default_factory=dict)
    done: bool = False


READERS = {"inner": record_of(Inner), "places": mapping(path), "count": number(1, 9), "names": sequence(path, 2)}
GOOD: dict[str, Any] = {"count": 3, "inner": {"name": "x"}}


def read(document: Mapping[str, Any]) -> Subject:
    return read_fields(Subject, "x.json", document, **READERS)


def test_what_is_missing_is_what_it_is_by_default_and_what_is_on_top_is_left_alone() -> None:
    assert read(GOOD) == Subject(3, Inner("x"))
    assert read({**GOOD, "note": "n", "names": ["/a"], "new": [[]]}) == Subject(3, Inner("x"), ("/a",), "n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "x.json has count 0, expected a whole number from 1 to 9"),
        ({"count": 3.0}, "x.json has count 3.0, expected a whole number"),
        ({"inner": []}, "x.json has inner [], expected an object"),
        ({"inner": {}}, "x.json has inner {}, expected another one: an object that has no name"),
        ({"inner": {"name": 5}}, "an object that has name 5, expected a text"),
        ({"names": "/a"}, "x.json has names '/a', expected an array of at most 2 values"),
        ({"names": ["/a", "/b", "/c"]}, "expected an array of at most 2 values"),
        ({"names": ["a"]}, "expected an absolute path without '..'"),
        ({"note": ["x" * 100]}, f"x.json has note ['{'x' * 58}..., expected a text"),
        ({"note": "x" * 5000}, "expected a text of at most 4096 characters"),
        ({"places": {"a\0": "/x"}}, "expected a text"),
        ({"done": 1}, "x.json has done 1, expected true or false"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue) as failure:
        read({**GOOD, **change})
    assert message in failure.value.message
    assert failure.value.hint == "it was changed by hand, or damaged"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.json is not a JSON document: Expecting value"),
        (b"\xff", "x.json is not a JSON document: 'utf-8' codec"),
        (b"[" * 300_000, "x.json is not a JSON document of ours: it is nested too deeply"),
        (b'{"a":' * 100_000, "it is nested too deeply"),
        (b'{"a": ' + b"1" * 900_000 + b"}", "a number of 900000 digits"),
        (b'{"a": -Infinity}', "-Infinity is no number in JSON"),
        (b"5", "x.json holds a int, expected a JSON object"),
    ],
)
def test_what_is_no_document_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidValue) as failure:
        parse_document("x.json", content)
    assert message in failure.value.message
    assert "\n" not in failure.value.message


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.data())
def test_no_value_anywhere_raises_anything_but_our_error(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([Subject, Identity, Backup, RestoreRecord, Journal]))
    document = data.draw(st.fixed_dictionaries({}, optional={each.name: anything for each in fields(kind)}))
    with suppress(Error):
        if kind is Identity:
            cluster_document.from_document({"format": 1, **document})
        elif kind is Backup:
            Backup.from_document({"format": 1, **document})
        else:
            read_fields(kind, "x.json", document, **(READERS if kind is Subject else {}))


def test_null_is_taken_only_where_it_may_be() -> None:
    assert optional(number(1, 2))(None) is None


@pytest.mark.parametrize("depth", [30, 900, 950, 990, 100_000])
def test_what_is_nested_deeply_is_refused_before_anything_goes_through_it(depth: int) -> None:
    """json.loads() reads what json.dumps() and ascii() cannot get to the end of."""
    for opening, closing in (("[", "]"), ('{"x":', "}")):
        content = f'{{"label": {opening * depth}0{closing * depth}}}'
        with pytest.raises(InvalidValue, match=r"backup\.json is not a JSON document of ours: it is nested too deeply"):
            parse_document("backup.json", content.encode())
