"""Passwords of people: argon2id, as the library's defaults (RFC 9106's low-memory profile) have it."""

from __future__ import annotations

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 12
"""Characters. NIST SP 800-63B asks for 8 at the least and 15 where a password stands alone."""

LONGEST = 256
"""A longer one would only be work for the hash."""

_HASHER = PasswordHasher()


@cache
def _nobodys() -> str:
    """Compared against where there is no such user, so that the time an answer takes tells nothing."""
    return _HASHER.hash(secrets.token_urlsafe(32))


class BadPassword(ValueError):
    """Not one to be used; the message says why."""


def new_password() -> str:
    """Made by chance: 120 bits."""
    return secrets.token_urlsafe(15)


def hashed(password: str, name: str) -> str:
    """Raises BadPassword."""
    if len(password) < SHORTEST:
        raise BadPassword(f"a password needs at least {SHORTEST} characters")
    if len(password) > LONGEST:
        raise BadPassword(f"a password has at most {LONGEST} characters")
    if name.lower() in password.lower():
        raise BadPassword("a password does not hold the user's name")
    return _HASHER.hash(password)


def is_right(stored: str | None, password: str) -> bool:
    """Takes as long for a user who is not there, or has no password."""
    try:
        _HASHER.verify(stored or _nobodys(), password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None
