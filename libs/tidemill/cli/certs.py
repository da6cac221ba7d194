"""``tidemill certs``: a development CA, and certificates for the servers of a platform."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidemill.cli.screen import JsonOption, print_document, screen

TAKEN_BY = {
    "ca": "TIDEMILL_NATS_CA, and whatever else has to trust these servers (sslrootcert of PostgreSQL, SSL_CERT_FILE)",
    "nats": "tls { cert_file, key_file } of the server: NATS_TLS of deploy/nats",
    "postgres": "ssl_cert_file and ssl_key_file of postgresql.conf",
    "store": "the S3 server: public.crt and private.key of MinIO's folder of certificates",
    "gateway": "TIDEMILL_INFERENCE_TLS_CERT and TIDEMILL_INFERENCE_TLS_KEY",
    "client": "TIDEMILL_NATS_CERT and TIDEMILL_NATS_KEY, where the server asks for a client's certificate",
}
"""What to do with each pair."""


def certs(
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="Folder of the CA and the certificates.")],
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="NAME", help="A further name or address of the servers.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a development CA and certificates for NATS, PostgreSQL, the store and the gateway; renew what ends soon."""
    from rich.markup import escape

    from tidemill.platform.certificates import issue

    issued = issue(into, host or [])
    if as_json:
        print_document([
            {"name": one.name, "done": one.done, "certificate": str(one.certificate), "key": str(one.key),
             "until": one.until, "taken_by": TAKEN_BY[one.name]}
            for one in issued
        ])  # fmt: skip
        return
    for one in issued:
        screen().print(
            f"{one.done}  {escape(str(one.certificate))}  "
            f"[dim]until {one.until:%Y-%m-%d}; for {TAKEN_BY[one.name]}[/dim]",
            soft_wrap=True,
        )
    screen().print(
        "keys lie beside them (.key, readable by you alone); ca.key signs for all of them: keep it elsewhere"
    )
