# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who depends on a server is named, with what to do, in lines that fit on a screen."""

import struct
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.subscription import Subscription
from ansible_collections.pgark.postgres.plugins.module_utils._dependents.connected import (
    Dependents,
    Publication,
    Receiver,
    Slot,
    slot_on_disk,
)
from ansible_collections.pgark.postgres.plugins.module_utils._dependents.report import (
    consequences,
    enabling,
    lasting,
    switched_off,
    synchronous,
    undone,
    will_be_off,
)

ONE = Receiver("db2", "192.0.2.2", "sync")
MIRROR = Receiver("mirror", "192.0.2.9")
ORDERS = Subscription("orders", "app")
ALL = Dependents(
    asked=True,
    standbys=(ONE, Receiver("walreceiver")),
    subscribers=(MIRROR,),
    slots=(Slot("db2", "physical", active=True), Slot("mirror", "logical", "app", active=True)),
    publications=(Publication("all", "app"),),
    subscriptions=(ORDERS, Subscription("old", "app", enabled=False)),
    sessions={"app": 11, "postgres": 1},
    synchronous_standby_names="db2",
    unseen=("publications were not looked for in locked",),
)
STANDBYS = "standbys db2 (192.0.2.2, sync), walreceiver go on serving the old history: make them anew, or use pg_rewind"
SLOTS = "slots db2 (physical), mirror (logical, database app) are in no backup, so they are lost"
AHEAD = " may be ahead: make their subscriptions anew, with empty tables; a slot that is only made again skips changes"
OFF = "will be off until somebody says otherwise: what came after the target never comes again"


def test_a_restore_says_what_it_means_for_everybody() -> None:
    assert consequences(ALL, lasting(ALL)) == [
        "12 sessions will be ended: 11 of database app, 1 of database postgres",
        STANDBYS,
        f"{SLOTS}: a physical one is made anew with its standby",
        f"subscribers mirror (192.0.2.9) of publication all (database app){AHEAD}",
        f"subscription orders (database app) {OFF}",
        "synchronous_standby_names is 'db2': commits wait until such a standby is made anew, or that is emptied",
        "publications were not looked for in locked",
    ]


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (Dependents(asked=True), []),
        (Dependents(asked=True, sessions={"app": 1}), ["1 session will be ended: 1 of database app"]),
        (
            Dependents(asked=True, standbys=(ONE,)),
            ["standby db2 (192.0.2.2, sync) goes on serving the old history: make it anew, or use pg_rewind"],
        ),
        (
            Dependents(asked=True, slots=(Slot("mirror", "logical"),)),
            [
                "slot mirror (logical) is in no backup, so it is lost: a physical one is made anew with its standby",
                f"subscribers{AHEAD}",
            ],
        ),
        (
            Dependents(asked=True, publications=(Publication("a", "app"), Publication("b", "app"))),
            [f"subscribers of publications a (database app), b (database app){AHEAD}"],
        ),
        (Dependents(asked=True, subscriptions=(replace(ORDERS, enabled=False),)), []),
        (Dependents(unseen=("nobody answers",)), ["nobody answers"]),
    ],
)
def test_only_what_is_there_is_spoken_of(found: Dependents, lines: list[str]) -> None:
    assert consequences(found, lasting(found)) == lines


def test_what_an_earlier_attempt_has_noted_takes_the_place_of_what_is_lasting() -> None:
    assert consequences(Dependents(asked=True, sessions={"app": 1}), [STANDBYS])[1:] == [STANDBYS]


def test_a_rollback_speaks_of_those_who_came_to_depend_on_the_restore() -> None:
    said = undone(ALL)
    assert said[:2] == [consequences(ALL, [])[0], STANDBYS]
    assert undone(replace(ALL, subscribers=(), slots=()))[2:] == [*ALL.unseen], "nobody takes what it publishes"
    assert not [line for line in said if "in no backup" in line or OFF in line], "what is put back has its own"


def test_names_that_hold_anything_are_printed_and_quoted() -> None:
    odd = 'a\n"b"\x1b[2J\u202e'
    found = Dependents(asked=True, sessions={odd: 1}, subscriptions=(Subscription(odd, odd),))
    assert all(line.isprintable() for line in consequences(found, []))
    assert enabling(Subscription(odd, odd)) == 'ALTER SUBSCRIPTION U&"a\\+00000a""b""\\+00001b[2J\\+00202e" ENABLE'
    assert enabling(Subscription('my "sub"', "app")) == 'ALTER SUBSCRIPTION "my ""sub""" ENABLE'


def test_many_names_are_counted() -> None:
    many = Dependents(asked=True, standbys=tuple(Receiver(f"s{number}") for number in range(100)))
    [line] = consequences(many, lasting(many))
    assert "standbys s0, s1, s2, s3, s4, s5, s6, s7 and 92 more go on" in line


def test_a_clone_has_no_slots_of_its_source() -> None:
    [restored], [cloned] = switched_off([ORDERS], clone=False), switched_off([ORDERS], clone=True)
    assert restored.startswith("subscription orders (database app) is off: what it got after the target never comes")
    assert restored.endswith('to have it go on: ALTER SUBSCRIPTION "orders" ENABLE')
    assert cloned.startswith("subscription orders (database app) is off, without the slot of the original: drop it, or")


@pytest.mark.parametrize("names", ["", " "])
def test_nothing_is_said_where_no_commit_waits(names: str) -> None:
    assert synchronous(names) == will_be_off([]) == ""


def test_it_is_returned_without_the_classes() -> None:
    returned = ALL.as_dict()
    assert returned["standbys"][0] == {"name": "db2", "address": "192.0.2.2", "sync_state": "sync"}
    assert returned["sessions"] == [{"database": "app", "number": 11}, {"database": "postgres", "number": 1}]


def on_disk(**changes: Any) -> bytes:
    state = {"magic": 0x1051CA1, "name": b"db2", "database": 0, "persistency": 0} | changes
    head = struct.pack("=IIII", state["magic"], 0, 5, 200)
    return head + struct.pack("=64sIi", state["name"], state["database"], state["persistency"]) + bytes(100)


@pytest.mark.parametrize(
    ("content", "slot"),
    [
        (on_disk(), Slot("db2", "physical")),
        (on_disk(name=b"mirror", database=16384), Slot("mirror", "logical")),
        (on_disk(persistency=2), None),
        (on_disk(magic=1), None),
        (on_disk()[:80], None),
        (b"", None),
    ],
)
def test_a_slot_is_read_from_the_disk(content: bytes, slot: Slot | None) -> None:
    assert slot_on_disk(content) == slot
