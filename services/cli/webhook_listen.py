"""`callcard webhook listen`: takes web hooks and shows them, to try them before a receiver is written."""

import hmac
import json
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated

import typer

from card_api.webhooks.signing import signature
from services.cli.output import console, fail

# As large as a call with a long timeline; a trial has no use for more.
_LARGEST = 1_000_000


def listen(
    port: Annotated[int, typer.Argument(help="Where to listen, on this machine only.", min=1, max=65535)],
    secret: Annotated[
        str | None,
        typer.Option(help="The web hook's secret (whsec_…): each signature is checked."),
    ] = None,
) -> None:
    """Take web hooks on this machine and print them, one JSON document a line, until Ctrl-C."""
    try:
        server = receiver(port, secret)
    except OverflowError:
        fail(f"{port} is no port: use 1 to 65535.")
    except OSError as error:
        fail(f"Port {port} is not to be had ({error.strerror}): use another one.")
    console().print(f"Waiting for web hooks at http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it).")
    with server:
        server.serve_forever()


def receiver(port: int, secret: str | None) -> ThreadingHTTPServer:
    """The server; `port` 0 takes a free one. Raises OSError if the port is taken."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            body = self.rfile.read(int(length)) if length.isdecimal() and int(length) <= _LARGEST else b""
            known = secret is None or _signed(secret, self.headers, body)
            # Shown before it is answered: who has the answer finds it on the screen.
            print(body.decode(errors="replace") if known else _refused(self.headers), flush=True)
            self.send_response(204 if known else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """What came is printed; that it came needs no line of its own."""

    return ThreadingHTTPServer(("127.0.0.1", port), Receiver)


def _signed(secret: str, headers: Message, body: bytes) -> bool:
    at = headers.get("webhook-timestamp", "")
    if not at.isdecimal():
        return False
    mine = signature(secret, headers.get("webhook-id", ""), int(at), body)
    return any(hmac.compare_digest(mine, theirs) for theirs in headers.get("webhook-signature", "").split())


def _refused(headers: Message) -> str:
    return json.dumps({"refused": "the signature is not of this secret", "id": headers.get("webhook-id")})
