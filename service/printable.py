"""Text of anybody's making, so that a terminal prints it and does not obey it."""

import re

#: Control characters but tabs and line breaks, what turns the direction of writing around, other
#: ends of lines, and halves of characters (bytes of a file name that are not UTF-8).
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""Return the text with a visible sign for each character that is more than a sign.

    Examples
    --------
    >>> printable("a\x1b[31mb")
    'a␛[31mb'
    """
    return _UNSAFE.sub(_sign, text)


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)  # the control pictures of Unicode
    return "␡" if code == 0x7F else "\ufffd"
