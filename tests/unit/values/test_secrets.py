# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No password is left in what is quoted, whatever it stands in; the rest of the text is."""

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._values.secrets import MASK, masked, masked_all

SECRET = "S3cr3t"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("primary_conninfo = 'host=db1 user=r password=", "'"),
        ("primary_conninfo = 'host=db1 password=''", "'' user=r'"),
        ("primary_conninfo = 'host=db1 password=\\'", "\\' user=r'"),
        ("user = r password = ", " port = 5433"),
        ("user=r password='", "' port=5433"),
        ("user=r password='it\\'s ", "' port=5433"),
        ("user=r password=with'quote", " port=5433"),
        ("user=r password=a\\ ", " port=5433"),
        ("password=a,b;c)&", ""),
        ("sslpassword=", ""),
        ("postgresql://r:", "@db1:5433/postgres?sslmode=require"),
        ("postgresql://r:a:", "@db1"),
        ("postgresql://r@db1/postgres?password=", ""),
        ("PGPASSWORD=", " pg_receivewal -h db1"),
        ("PGPASSWORD='a ", "' pg_receivewal -h db1"),
        ('PGPASSWORD="a ', '" pg_receivewal -h db1'),
        ("AWS_SECRET_ACCESS_KEY=", " wal-g wal-push pg_wal/x"),
        ("AZURE_STORAGE_KEY=", ""),
        ("AZURE_STORAGE_SAS_TOKEN=", ""),
        ("pgbackrest --repo1-cipher-pass=", " archive-push pg_wal/x"),
        ("pgbackrest --repo1-s3-key-secret=", " archive-push pg_wal/x"),
        ("PGBACKREST_REPO1_S3_KEY=", ""),
        ("push --password ", " pg_wal/x"),
        ("push --password=", " pg_wal/x"),
        ("curl --user me:", " https://db1"),
        ("curl -H 'Authorization: Bearer ", "' https://db1"),
        ("ssl_passphrase_command = 'echo ", "'"),
        ('{"login_password": "', '", "port": 5432}'),
        ("set primary_conninfo = 'password=", "'"),
    ],
)
def test_a_secret_is_masked(before: str, after: str) -> None:
    text = masked(f"LOG:  before it {before}{SECRET}{after}\nnext line")
    assert SECRET not in text
    assert MASK in text
    assert text.startswith("LOG:  before it ")
    assert text.endswith("next line")


@pytest.mark.parametrize(
    "text",
    [
        'FATAL:  password authentication failed for user "replicator"',
        "password_encryption = 'scram-sha-256'",
        "ssl_key_file = '/etc/ssl/private/server.key'",
        "passfile=/var/lib/postgresql/.pgpass sslkey=/etc/key",
        "postgresql://r@db1:5433/postgres",
        "https://db1:8008/patroni@x",
        "bypass = 3, compass: x",
        "psql --password --host db1",
        "fe_sendauth: no password supplied",
        "password=\nhost=db1",
    ],
)
def test_what_is_no_secret_is_quoted_as_it_is(text: str) -> None:
    assert masked(text) == text


def test_documents_are_masked_all_through() -> None:
    document = {
        "before": {"archive_command": f"PGPASSWORD={SECRET} x"},
        "steps": ({"text": f"password={SECRET}"}, 3, None),
    }
    expected = {"before": {"archive_command": f"PGPASSWORD={MASK} x"}, "steps": [{"text": f"password={MASK}"}, 3, None]}
    assert masked_all(document) == expected


def test_a_long_line_takes_no_time_to_speak_of() -> None:
    assert masked("a" * 65536) == "a" * 65536
