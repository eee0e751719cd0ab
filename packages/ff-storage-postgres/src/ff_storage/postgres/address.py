"""Where a PostgreSQL server is, and how to speak to it: URLs, keywords, TLS; for both drivers.

TLS is required and verified by default, except on the loopback and on Unix sockets, where nobody is between.
"""

from __future__ import annotations

import inspect
import ipaddress
import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from ff_storage.core.errors import ConfigurationError, nearest

PORT: Final = 5432

SCHEMES: Final = ("postgresql", "postgres")

TLS_MODES: Final = ("disable", "require", "verify-ca", "verify-full")
"""libpq's modes, without those that fall back to plain text by themselves."""

_TLS_OPTIONS: Final = ("sslmode", "sslrootcert", "sslcert", "sslkey")

URL_OPTIONS: Final = (*_TLS_OPTIONS, "application_name", "host")
"""What a URL may say behind its `?`, beside the options of the pool."""


class Secret:
    """A password that no repr, log or pickle shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The password itself, for the driver."""
        return self._value

    def __repr__(self) -> str:
        return "'***'"

    def __reduce__(self) -> Any:
        raise TypeError("a password is not pickled")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is protected; `mode` is one of `TLS_MODES`, or a context of the caller's own in `context`."""

    mode: str
    root: str | None = None
    certificate: str | None = None
    key: str | None = None
    context: ssl.SSLContext | None = None

    def make_context(self) -> ssl.SSLContext | None:
        """The context for a driver that takes one; None for plain text. Raises ConfigurationError for a bad file."""
        if self.context is not None or self.mode == "disable":
            return self.context
        try:
            made = ssl.create_default_context(cafile=self.root)
            if self.certificate is not None:
                made.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                "a TLS file cannot be read",
                found=f"{type(error).__name__}, {error.strerror or error}",
                remedy="check sslrootcert, sslcert and sslkey",
            ) from error
        made.check_hostname = self.mode == "verify-full"
        if self.mode == "require" and self.root is None:  # with an authority it is verify-ca, as for libpq
            made.verify_mode = ssl.CERT_NONE
        return made


@dataclass(frozen=True, slots=True)
class Address:
    """One server, one database, one user."""

    host: str
    port: int
    dbname: str
    user: str
    password: Secret | None = field(repr=False)
    tls: Tls
    application_name: str = "ff-storage"

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.user}@{self.place}/{self.dbname}"


def address(
    *,
    dbname: str | None = None,
    user: str | None = None,
    password: object = None,
    host: str | None = None,
    port: int | str | None = None,
    ssl: object = None,  # the drivers' and the seeds' name
    sslmode: str | None = None,
    sslrootcert: str | os.PathLike[str] | None = None,
    sslcert: str | os.PathLike[str] | None = None,
    sslkey: str | os.PathLike[str] | None = None,
    application_name: str = "ff-storage",
) -> Address:
    """The address that these keywords name. Raises ConfigurationError for one that is wrong.

    `ssl` is True or False, an `ssl.SSLContext`, or one of `TLS_MODES`, as `sslmode` is.
    """
    host = _host(_text("host", host or "localhost"))
    user = _text("user", user or "postgres")
    tls = _tls(
        host, ssl, sslmode, _file("sslrootcert", sslrootcert), _file("sslcert", sslcert), _file("sslkey", sslkey)
    )
    return Address(
        host=host,
        port=_port(port),
        dbname=_dbname(_text("dbname", dbname or user)),
        user=user,
        password=_secret(password),
        tls=tls,
        application_name=_text("application_name", application_name),
    )


def parse_url(url: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The keywords of `address` that a URL says, and the other parameters behind its `?`. Errors never repeat it."""
    if re.search(r"[\s\x00-\x1f\x7f]", url):  # urlsplit() leaves some of them out, in a password too
        raise ConfigurationError(
            "a PostgreSQL URL has no spaces, line breaks or control characters", remedy="write them as %XX"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        # Without the error behind it, which quotes what it cannot read.
        raise ConfigurationError(
            "a PostgreSQL URL is expected", found="one that cannot be read", remedy=_FORM
        ) from None
    if parts.scheme not in SCHEMES:
        raise ConfigurationError("a PostgreSQL URL is expected", found="one of another scheme", remedy=_FORM)
    if parts.fragment:
        raise ConfigurationError("a PostgreSQL URL has no #", remedy="write %23 for a # in a password")
    if parts.path.count("/") > 1:
        raise ConfigurationError("a PostgreSQL URL names one database", remedy=_FORM)
    known: dict[str, Any] = {
        "host": _unquoted("host", parts.hostname) or None,
        "port": port,
        "user": _unquoted("user", parts.username) or None,
        "password": _unquoted("password", parts.password),
        "dbname": _unquoted("database", parts.path.removeprefix("/")) or None,
    }
    rest: dict[str, str] = {}
    for name, value in options:
        part = known if name in URL_OPTIONS else rest
        if part.get(name) is not None:
            raise ConfigurationError(f"the URL says {ascii(name)[:60]} twice", remedy="leave one of them out")
        part[name] = value
    return known, rest


def _unquoted(part: str, text: str | None) -> str | None:
    """A part of a URL without its %XX. Raises ConfigurationError for what is none, instead of taking it as it is."""
    if text is None:
        return None
    try:
        if re.search(r"%(?![0-9A-Fa-f]{2})", text) is None:
            return unquote(text, errors="strict")
    except UnicodeDecodeError:
        pass
    raise ConfigurationError(f"the {part} of the URL has a % that begins no UTF-8 character", remedy="write % as %25")


def from_text(options: Mapping[str, str], function: Callable[..., Any]) -> dict[str, Any]:
    """A URL's other parameters as arguments of `function`: numbers, booleans and none. Raises ConfigurationError."""
    known = [name for name, each in inspect.signature(function).parameters.items() if each.kind is each.KEYWORD_ONLY]
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name not in known:
            raise ConfigurationError(
                f"a PostgreSQL URL has no parameter {ascii(name)[:60]}", remedy=nearest(name, {*known, *URL_OPTIONS})
            )
        found[name] = _value(name, value)
    return found


_FORM: Final = "write postgresql://user:password@host:5432/database, with special characters as %XX"

_WORDS: Final[dict[str, object]] = {"true": True, "false": False, "none": None}


def _value(name: str, text: str) -> object:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if re.fullmatch(r"-?\d+", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"-?\d*\.\d+", text, re.ASCII):
        return float(text)
    if name in ("ssl", "uuid"):
        return text
    raise ConfigurationError(f"the URL's {name} is no number and no boolean", found=ascii(text)[:60])


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a text", found=f"a {type(value).__name__}")
    if not value or "\0" in value:
        raise ConfigurationError(f"{name} must not {'contain a NUL character' if value else 'be empty'}")
    return str.__str__(value)


def _host(host: str) -> str:
    """One host's name, address or socket directory; a URL here would show its password wherever the host is named."""
    if host.startswith(("/", "@")):
        return host
    if re.search(r"[\s/@,?#\x00-\x1f\x7f]", host) is None:
        try:
            host.encode("idna")
        except UnicodeError:
            pass
        else:
            return host
    raise ConfigurationError(
        "host must be one name, one IP address, or the directory of a socket",
        remedy="pass a URL to open_pool(…), and open a pool for each server",
    )


def _dbname(name: str) -> str:
    if "://" in name or "password=" in name:
        raise ConfigurationError(
            "dbname must be the name of a database", found="a connection string", remedy="pass a URL to open_pool(…)"
        )
    return name


def _file(name: str, path: object) -> str | None:
    if path is None:
        return None
    if not isinstance(path, str | os.PathLike):
        raise ConfigurationError(f"{name} must be the path of a file", found=f"a {type(path).__name__}")
    return _text(name, os.fspath(path))  # pyright: ignore[reportUnknownArgumentType]


def _port(port: object) -> int:
    if isinstance(port, str) and port.isascii() and port.isdigit():
        port = int(port)
    if port is None:
        return PORT
    if type(port) is not int or not 0 < port < 65536:
        raise ConfigurationError("port must be a number between 1 and 65535", found=ascii(port)[:30])
    return port


def _secret(password: object) -> Secret | None:
    if password is None or isinstance(password, Secret):
        return password
    reveal = getattr(password, "get_secret_value", None) or getattr(password, "reveal", None)
    if reveal is not None:
        password = reveal()
    if not isinstance(password, str):
        raise ConfigurationError("password must be a text", found=f"a {type(password).__name__}")
    if "\0" in password:
        raise ConfigurationError("password must not contain a NUL character")
    return Secret(str.__str__(password))


def flag(name: str, value: object) -> bool:
    """`value`, which must be True or False: "no" would be true."""
    if value is True or value is False:
        return value
    raise ConfigurationError(f"{name} must be True or False", found=f"a {type(value).__name__}")


def is_local(host: str) -> bool:
    """Whether nobody can stand between here and `host`: the loopback, or a Unix socket's directory."""
    if host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # An IPv4 address within an IPv6 one is a loopback for some versions of Python only, so for none here.
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def _tls(host: str, given: object, mode: str | None, root: str | None, certificate: str | None, key: str | None) -> Tls:
    files = root is not None or certificate is not None or key is not None
    if isinstance(given, ssl.SSLContext):
        if mode is not None or files:
            raise ConfigurationError("pass an SSLContext, or sslmode and files, and not both")
        return Tls("verify-full", context=given)
    if given is not None:
        if mode is not None:
            raise ConfigurationError("ssl and sslmode are one setting under two names", remedy="pass one of them")
        mode = _mode(given)
    if mode is None:
        mode = "disable" if is_local(host) and not files else "verify-full"
    if mode not in TLS_MODES:
        raise ConfigurationError(
            f"sslmode must be one of {', '.join(TLS_MODES)}",
            found=ascii(mode)[:30],
            remedy="prefer and allow fall back to plain text, so they are not offered",
        )
    if mode == "disable" and files:
        raise ConfigurationError("sslmode=disable has no use for TLS files", remedy="leave one of them out")
    if key is not None and certificate is None:
        raise ConfigurationError("sslkey is the key of sslcert", remedy="pass sslcert too")
    return Tls(mode, root, certificate, key)


def _mode(given: object) -> str:
    if given is True:
        return "verify-full"
    if given is False:
        return "disable"
    return given if isinstance(given, str) else f"a {type(given).__name__}"
