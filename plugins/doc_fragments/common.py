# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options that modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments: ``common`` (every module), ``common.target``, ``common.repositories`` and ``common.compression``."""

    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Host of a server that is reached over TCP, which has to be an address of the machine that the module runs on.
      - When unset, the Unix socket in O(login_unix_socket) is used.
      - Nothing is sent before it is seen that the server of O(data_directory) is running and is the process that
        listens there, or O(ssl_mode) has its certificate verified.
    type: str
  login_port:
    description:
      - Port of the server; with a Unix socket it is a part of the socket's name. Another one than the server's is
        refused.
    type: int
    default: 5432
  login_user:
    description:
      - Database user, which must be a superuser. The user that runs the module when unset.
    type: str
  login_password:
    description:
      - Password of the database user. Peer authentication over the Unix socket needs none.
      - When unset, the file C(.pgpass) in the home of the user that runs the module is looked at, as by all of
        PostgreSQL's programs.
      - Over TCP without a verified certificate it is not sent in clear, so the server has to ask for it by
        C(scram-sha-256) or C(md5). That takes version 16 of PostgreSQL's client library; older ones send it as the
        server wants.
    type: str
  login_db:
    description:
      - Database to connect to.
      - When unset, V(postgres), or another one where that was dropped.
    type: str
  login_unix_socket:
    description:
      - Directory of the server's Unix socket. When unset, or where no such socket is, the one that the server says it
        has.
    type: path
  ssl_mode:
    description:
      - Whether a connection to O(login_host) is encrypted, and the server's certificate verified; as C(sslmode) of
        PostgreSQL's client library, whose default V(prefer) it has when unset. It does not matter for a Unix socket.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
  ca_cert:
    description:
      - File with the certificates of the authorities that may have signed the server's.
    type: path
    aliases: [ssl_rootcert]
  ssl_cert:
    description:
      - File with the certificate by which O(login_user) is known to the server.
    type: path
  ssl_key:
    description:
      - File with the key of O(ssl_cert).
    type: path
  repository:
    description:
      - Absolute path of the repository that holds backups and WAL.
    type: path
  cluster:
    description:
      - Name of the cluster's directory in the repository.
    type: str
  data_directory:
    description:
      - PGDATA, the cluster's data directory. It may be a symbolic link.
    type: path
  bin_directory:
    description:
      - Directory of PostgreSQL's programs. When unset, the place where distributions keep those of the data
        directory's version, else the E(PATH).
    type: path
  log_file:
    description:
      - The server's log file, which errors quote. When unset, the file that the server's logging collector writes.
    type: path
  called_by:
    description:
      - In whose words errors say what to do. The roles of the collection set it, so that a hint names the variables of
        the role, or of the playbook, instead of options of the module.
    type: str
    default: module
    choices: [module, role, playbook]
  python_directory:
    description:
      - Directory of Python packages that the modules use besides those of the interpreter, for a psycopg that the
        distribution does not have. The role P(pgark.postgres.postgres_cluster#role) installs one when it must.
    type: path
requirements:
  - psycopg 3 (for options that ask a running server)
  - PostgreSQL 13 or newer, with its programs
notes:
  - Run the module as the operating-system user that owns the cluster, not as root.
"""

    TARGET = r"""
options:
  target_time:
    description:
      - Restore to this moment. It must have an offset from UTC, such as C(2026-09-15T14:30:00Z) or
        C(2026-09-15T16:30:00+02:00).
      - Recovery stops before the first commit after it.
    type: str
  target_xid:
    description:
      - Restore to the end of this transaction, such as V(7310). What was committed before it is there, whatever its
        number; what was committed after it is not.
      - V(pg_current_xact_id()) gives the number of the transaction that is under way; it may be given in full.
    type: str
  target_name:
    description:
      - Restore to the restore point of this name. See M(pgark.postgres.restore_point).
    type: str
  target_lsn:
    description:
      - Restore to this position in the write-ahead log, such as C(0/3000028).
      - Recovery stops after the first record that begins there or later, and before it when O(target_inclusive) is
        V(false).
    type: str
  target:
    description:
      - V(latest) restores everything that the archive holds.
      - V(immediate) stops as soon as the backup is consistent, which is at its end.
    type: str
    choices: [latest, immediate]
  target_timeline:
    description:
      - Timeline to follow, a number, V(latest) for the newest in the archive, or V(current) for that of the backup.
    type: str
    default: latest
  target_inclusive:
    description:
      - Whether a commit at exactly O(target_time), the transaction O(target_xid) or the record at O(target_lsn) is part
        of the result. It makes no difference to the other targets.
    type: bool
    default: true
  backup_label:
    description:
      - Start from this backup. When unset, from the newest one that ended before the target.
    type: str
"""

    REPOSITORIES = r"""
options:
  further_repositories:
    description:
      - Absolute paths of further repositories that hold the cluster's WAL as well as O(repository) does. Each has to be
        laid out by M(pgark.postgres.backup_repository).
    type: list
    elements: path
    default: []
  jobs:
    description:
      - How many segments pgark-wal works on at once, from 1 to 64.
    type: int
    default: 2
"""

    COMPRESSION = r"""
options:
  compression:
    description:
      - How to compress. V(auto) takes the first of zstd, lz4 and gzip that is available.
    type: str
    default: auto
    choices: [auto, none, gzip, lz4, zstd]
"""
