"""How soon a link whose other end vanished without a word counts as broken.

A statement has its own deadline; this is for a session that waits for none, and for code that does not await. The
system asks an idle link after `seconds`, three times, and takes one that acknowledges nothing for twice as long to be
broken.
"""

from __future__ import annotations

import socket
from typing import Final

PROBES: Final = 3


def libpq_probes(seconds: float | None) -> dict[str, int]:
    """The words of libpq for it; None: never."""
    if seconds is None:
        return {"keepalives": 0}
    idle = max(1, round(seconds))
    return {
        "keepalives_idle": idle,
        "keepalives_interval": max(1, idle // PROBES),
        "keepalives_count": PROBES,
        "tcp_user_timeout": 2000 * idle,
    }


_OPTIONS: Final = {
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}
"""What libpq sets for its words; a system lacks some."""


def keep_alive(link: socket.socket, seconds: float | None) -> None:
    """Set it for a socket, unless that is a Unix socket."""
    if seconds is None or link.family not in (socket.AF_INET, socket.AF_INET6):
        return
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for word, value in libpq_probes(seconds).items():
        option: int | None = getattr(socket, _OPTIONS[word], None)
        if option is not None:
            link.setsockopt(socket.IPPROTO_TCP, option, value)
