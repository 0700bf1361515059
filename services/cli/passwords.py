"""Passwords that people read off a screen and type."""

import secrets

# Small letters and digits that nobody confuses: no l and 1, no o and 0, no i and j.
_LETTERS = "abcdefghkmnpqrstuvwxyz23456789"
# 12 of 30 letters are 58 bits: out of reach of guessing through a rate-limited sign-in.
_LENGTH = 12


def new_password() -> str:
    """A random one."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
