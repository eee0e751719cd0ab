"""An authority of the tests' own, and the certificates that it signs."""

from __future__ import annotations

from pathlib import Path

import trustme

from servers.daemon import Place


class Authority:
    """Signs the certificate of a server at the loopback; `root(path)` is what a client has to trust."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def root(self, path: Path) -> Path:
        """The authority's certificate, as a file."""
        path.write_bytes(self._authority.cert_pem.bytes())
        return path

    def certify(self, where: Place, *names: str) -> tuple[Path, Path]:
        """A server's certificate and key in its place; without names, for localhost and 127.0.0.1."""
        issued = self._authority.issue_cert(*(names or ("localhost", "127.0.0.1")))
        chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        return where.write("server.crt", chain), where.write("server.key", issued.private_key_pem.bytes())
