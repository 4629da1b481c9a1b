# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a server looks for its libraries."""

from dataclasses import replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._restore.libraries import Places, split_list

PRELOADED = "shared_preload_libraries"
PLACES = Places("/usr/lib/postgresql/17/lib", "$libdir", "/data")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("pg_stat_statements", ["pg_stat_statements"]),
        ("pg_stat_statements, auto_explain", ["pg_stat_statements", "auto_explain"]),
        (' "/srv/my libs/a,b" ,c d ', ["/srv/my libs/a,b", "c d"]),
        ('"a""b"', ['a"b']),
        # The server takes such a list for none at all.
        ("a,", []),
        (",a", []),
        ("a,,b", []),
        ('"a', []),
        ('"a"b', []),
    ],
)
def test_a_list_of_libraries_is_split_as_the_server_does(text: str, names: list[str]) -> None:
    assert split_list(text) == names


@pytest.mark.parametrize(
    ("name", "setting", "path", "files"),
    [
        ("cron", PRELOADED, "$libdir", ["/usr/lib/postgresql/17/lib/cron", "/usr/lib/postgresql/17/lib/cron.so"]),
        ("$libdir/cron", PRELOADED, "/srv", ["/usr/lib/postgresql/17/lib/cron", "/usr/lib/postgresql/17/lib/cron.so"]),
        ("/srv/cron.so", PRELOADED, "$libdir", ["/srv/cron.so", "/srv/cron.so.so"]),
        ("libs/cron", PRELOADED, "$libdir", ["/data/libs/cron", "/data/libs/cron.so"]),
        (
            "cron",
            PRELOADED,
            "/a:$libdir/b",
            ["/a/cron", "/a/cron.so", *(f"{PLACES.libdir}/b/cron{s}" for s in ("", ".so"))],
        ),
        ("cron", "local_preload_libraries", "/a", [f"{PLACES.libdir}/plugins/cron{s}" for s in ("", ".so")]),
    ],
)
def test_a_library_is_looked_for_where_the_server_does(name: str, setting: str, path: str, files: list[str]) -> None:
    assert replace(PLACES, path=path).of(name, setting) == files


def test_nothing_is_said_of_a_library_whose_place_is_not_known() -> None:
    unknown = replace(PLACES, libdir=None)
    assert unknown.of("cron", PRELOADED) is None
    assert replace(unknown, path="/a:$libdir").of("cron", PRELOADED) is None
    assert unknown.of("cron", "local_preload_libraries") is None
    assert unknown.of("/srv/cron.so", PRELOADED) == ["/srv/cron.so", "/srv/cron.so.so"]
    assert replace(unknown, path="/a").of("cron", PRELOADED) == ["/a/cron", "/a/cron.so"]
