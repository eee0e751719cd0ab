"""Starting and stopping: a server process in a temporary directory of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest

from servers.client import DEADLINE


@dataclass(frozen=True, slots=True)
class Place:
    """A temporary directory for one server, and the account that its programs run as (None: our own)."""

    directory: Path
    account: tuple[int, int] | None

    def run(self, *command: str | Path) -> bool:
        """Run a program to its end, its output going to the log; whether it succeeded."""
        return self.spawn(*command).wait(DEADLINE) == 0

    def spawn(self, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, so that Ctrl-C at the tests reaches it through us alone."""
        user, group = self.account or (None, None)
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                env={**os.environ, "HOME": str(self.directory), "LC_ALL": "C"},
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def write(self, name: str, content: str | bytes) -> Path:
        """A file that only the account may read, as servers demand of keys and passwords."""
        path = self.directory / name
        path.touch(0o600)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        if self.account is not None:
            os.chown(path, *self.account)
        return path

    def readable(self, binaries: Path) -> Path:
        """The folder of programs, or a copy: a virtual environment in somebody's home is closed to other accounts."""
        if self.account is None or self.run("/bin/sh", "-c", f"test -x '{binaries}/postgres'"):
            return binaries
        package = binaries.parents[1]
        for folder in package.parent.glob(f"{package.name}*"):  # its shared libraries lie beside it, in another
            shutil.copytree(folder, self.directory / folder.name, symlinks=True, dirs_exist_ok=True)
        return self.directory / binaries.relative_to(package.parent)

    def log(self) -> str:
        """The end of what the programs wrote."""
        return "\n".join((self.directory / "log").read_text(errors="replace").splitlines()[-20:])


def account() -> tuple[int, int] | None:
    """Another account when we are root, as servers refuse to run so: PostgreSQL's, else one made for this."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "ff-storage-test"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    subprocess.run(["useradd", "--system", "--user-group", "--no-create-home", "ff-storage-test"], check=True)
    return account()


@contextlib.contextmanager
def place(engine: str) -> Generator[Place]:
    """A fresh directory that is removed afterwards."""
    where = Place(Path(tempfile.mkdtemp(prefix=f"ff-{engine}-")), account())
    try:
        if where.account is not None:
            os.chown(where.directory, *where.account)
        yield where
    finally:
        shutil.rmtree(where.directory, ignore_errors=True)


def free_port() -> int:
    """A port of the loopback that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class Daemon(ABC):
    """A server process on a port that it keeps when it is started again.

    It belongs to the thread that starts it, and ends with it where the system can do that: an aborted test run leaves
    no server behind. So start it from the main thread.
    """

    polite: ClassVar[signal.Signals] = signal.SIGTERM
    """What tells it to stop in order, without waiting for its clients."""

    def __init__(self, where: Place, port: int) -> None:
        self.place = where
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """The command line; it stays in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves."""

    @property
    def pid(self) -> int:
        """The process that was started last."""
        if self._process is None:
            raise RuntimeError("the server was never started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives; it may be starting, or stalled."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, without waiting until it serves."""
        wrapper = shutil.which("setpriv")
        prefix = () if wrapper is None else (wrapper, f"--pdeathsig={self.polite.name.removeprefix('SIG')}")
        self._process = self.place.spawn(*prefix, *self.command())

    def wait(self) -> bool:
        """Wait until it serves; False when it ends first or takes too long."""
        deadline = time.monotonic() + DEADLINE
        while self.is_running and time.monotonic() < deadline:
            if self.answers():
                return True
            time.sleep(0.05)
        return False

    def stop(self, how: signal.Signals | None = None) -> None:
        """Stop it by its pid, with `how` or politely, and by force when that does not end it in 20 s."""
        process = self._process
        if process is None:
            return
        for number in (signal.SIGCONT, how or self.polite):  # a stalled process hears nothing else
            if process.poll() is None:
                process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        if process.poll() is None:
            family = [process.pid, *children(process.pid)]
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(20)

    def restart(self) -> None:
        """Stop it, start it, and wait until it serves."""
        self.stop()
        self.start()
        if not self.wait():
            pytest.fail(f"the server does not start again:\n{self.place.log()}", pytrace=False)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        os.kill(self.pid, number)


D = TypeVar("D", bound=Daemon)


@contextlib.contextmanager
def running(make: Callable[[int], D]) -> Generator[D]:
    """The server that `make` gives for a free port, started and serving; it is stopped afterwards."""
    log = ""
    for _ in range(3):  # another process may take the free port before the server does
        daemon = make(free_port())
        try:
            daemon.start()
            if daemon.wait():
                yield daemon
                return
        finally:
            daemon.stop()
        log = daemon.place.log()
    pytest.fail(f"a server does not start:\n{log}", pytrace=False)


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still live, where the system tells."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
