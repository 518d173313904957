"""Values of command lines."""

from argparse import ArgumentTypeError


def positive(text: str) -> int:
    """Return a whole number of at least 1.

    >>> positive("20")
    20
    """
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"a whole number of at least 1, not {text!r}")
    return int(text)
