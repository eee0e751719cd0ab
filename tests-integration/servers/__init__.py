"""Real servers for the tests.

An address in the environment wins (`FF_STORAGE_TEST_POSTGRES_URL` and its like); else a local binary is started on a
free port of the loopback, in a temporary directory, and stopped afterwards; else the test is skipped, with a reason
that says how to get the server. `FF_STORAGE_REQUIRE=sqlite,postgres` turns the skip into a failure.

Each test gets a database of its own on the server, so tests share nothing and leave nothing behind. A test that stops,
stalls or configures a server starts one of its own: `cluster`, `standby`, `pgbouncer`.
"""

from servers.certificates import Authority
from servers.client import Server
from servers.daemon import Daemon
from servers.found import (
    ADDRESS,
    REMEDY,
    address,
    check_sqlite,
    postgres_binaries,
    postgres_sources,
    required,
    unavailable,
)
from servers.mariadb import mariadb
from servers.pgbouncer import PgBouncer, pgbouncer
from servers.postgres import PASSWORDS, PASSWORDS_OVER_TLS, Cluster, cluster, postgres, standby

__all__ = [
    "ADDRESS",
    "PASSWORDS",
    "PASSWORDS_OVER_TLS",
    "REMEDY",
    "Authority",
    "Cluster",
    "Daemon",
    "PgBouncer",
    "Server",
    "address",
    "check_sqlite",
    "cluster",
    "mariadb",
    "pgbouncer",
    "postgres",
    "postgres_binaries",
    "postgres_sources",
    "required",
    "standby",
    "unavailable",
]
