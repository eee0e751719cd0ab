"""A server that answers, seen through the engine's own client."""

from __future__ import annotations

import contextlib
import os
import subprocess
import uuid
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

DEADLINE: Final = 60.0
"""Seconds for an answer, for a server to start, and again to stop."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers at `url`; `client` is the engine's own (psql, mariadb), `pid` is set if we started it."""

    engine: str
    url: str
    client: Path
    pid: int | None = None

    def ask(self, sql: str) -> str:
        """The answer of the engine's own client, as bare text."""
        return subprocess.run(
            self.command(sql), check=True, capture_output=True, text=True, timeout=DEADLINE, env=self.environment()
        ).stdout.strip()

    def environment(self) -> dict[str, str]:
        """The client's environment: it takes the password from there."""
        secret = unquote(urlsplit(self.url).password or "")
        return {**os.environ, "PGPASSWORD": secret, "MYSQL_PWD": secret, "PGCONNECT_TIMEOUT": "5"}

    def command(self, sql: str) -> list[str]:
        """The command that runs `sql`."""
        parts = urlsplit(self.url)
        host, user, database = parts.hostname or "127.0.0.1", unquote(parts.username or ""), parts.path.lstrip("/")
        if self.engine == "postgres":
            where = ["-h", host, "-p", str(parts.port or 5432), "-U", user, "-d", database or "postgres"]
            return [str(self.client), "-XAtq", "-v", "ON_ERROR_STOP=1", *where, "-c", sql]
        where = [
            "--protocol=tcp",
            "--disable-ssl-verify-server-cert",
            f"--host={host}",
            f"--port={parts.port or 3306}",
            f"--user={user}",
        ]
        return [str(self.client), "--no-defaults", "-N", "-B", *where, *([database] if database else []), "-e", sql]

    def at(self, database: str) -> Server:
        """The same server, at another of its databases."""
        return replace(self, url=urlunsplit(urlsplit(self.url)._replace(path=f"/{database}")))

    @contextlib.contextmanager
    def database(self, owner: str | None = None) -> Generator[Server]:
        """The same server with a new, empty database, which is dropped afterwards, whoever is still connected to it."""
        name = f"ff_test_{uuid.uuid4().hex[:16]}"
        self.ask(f"CREATE DATABASE {name}{f' OWNER {owner}' if owner else ''}")
        try:
            yield self.at(name)
        finally:
            self.ask(f"DROP DATABASE IF EXISTS {name}{' WITH (FORCE)' if self.engine == 'postgres' else ''}")
