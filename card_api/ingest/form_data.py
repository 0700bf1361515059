"""multipart/form-data as a bridge sends it: a flat list of named values. Pure.

No general MIME parser: those take parts within parts, at a cost of depth times lines, and nobody needs them here.
"""

import re

# What RFC 2046 allows a boundary to be; each is looked for in the whole body.
_BOUNDARY = re.compile(r""";[ \t]*boundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70})(?![^\s;]))""", re.IGNORECASE)
_NAME = re.compile(
    rb"""^content-disposition:[^\r\n]*?;[ \t]*name=(?:"([^"\r\n]*)"|([^\s;"]+))""",
    re.IGNORECASE | re.MULTILINE,
)
_NOT_PLAIN = re.compile(
    rb"^(?:content-type:[ \t]*multipart/|content-transfer-encoding:[ \t]*(?:base64|quoted-printable))",
    re.IGNORECASE | re.MULTILINE,
)
_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")


class FormDataError(ValueError):
    """What is wrong with the form data: a sentence."""


def parts(body: bytes, content_type: str, most: int) -> list[tuple[str, str]]:
    """Names and values, at most `most`, in their order. Raises `FormDataError`."""
    given = _BOUNDARY.search(content_type)
    if given is None:
        raise FormDataError("The form data has no parts: `boundary` is missing in Content-Type.")
    boundary = (given[1] or given[2]).encode("latin-1", "replace")
    line = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(?=--|[ \t]*\r?\n)")
    # One more than may be, and the end: so much and no more is cut, however many there are.
    pieces = line.split(body, maxsplit=most + 2)[1:]
    if not pieces:
        raise FormDataError("The form data has no parts: the `boundary` of Content-Type is not in the body.")
    end = next((n for n, piece in enumerate(pieces) if piece.startswith(b"--")), None)
    if end is None and len(pieces) <= most:
        raise FormDataError("The form data breaks off: its closing boundary is missing. Send it whole.")
    if end is None or end > most:
        raise FormDataError(f"The form data has more than {most} parts.")
    return [_part(piece) for piece in pieces[:end]]


def _part(piece: bytes) -> tuple[str, str]:
    """`piece`: from the end of the boundary, its line break first."""
    head, *content = _EMPTY_LINE.split(piece, maxsplit=1)
    if _NOT_PLAIN.search(head):
        raise FormDataError(
            "A part of the form data is multipart itself, or encoded: send each field as a plain part of its own."
        )
    name = _NAME.search(head)
    if name is None or not content:
        raise FormDataError(
            'A part of the form data has no name: it must say Content-Disposition: …; name="…".'
        )
    return (name[1] or name[2] or b"").decode(errors="replace"), content[0].decode(errors="replace")
