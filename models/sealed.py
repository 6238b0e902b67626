"""Secrets at rest: sealed under the secret key, so that a dump of the database holds none that can be used.

AES-256-GCM, under a key that HKDF-SHA256 derives from each of `TRUNKLINE_SECRET_KEY`: the first seals, all open. A
value is bound to its column, so that one cannot be put in the place of another, and names the key that sealed it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.engine import Dialect, Engine

log = logging.getLogger(__name__)

MARK = "sealed1:"
"""What every sealed value begins with. One that does not is from a release that did not seal."""

NONCE_BYTES = 12
"""Random for each value: NIST SP 800-38D allows 2**32 under one key, and there are two for each endpoint."""

NAME_BYTES = 4

_LABEL = b"trunkline: secrets at rest"
_ATTRIBUTE = "trunkline_keyring"


class Keyring:
    """The keys of one deployment, the one that seals first."""

    def __init__(self, keys: Sequence[str]) -> None:
        derived = [HKDF(hashes.SHA256(), 32, salt=None, info=_LABEL).derive(key.encode()) for key in keys]
        self._first = _name_of(derived[0])
        self._by_name = {_name_of(key): AESGCM(key) for key in reversed(derived)}

    def seal(self, text: str, column: str) -> str:
        nonce = os.urandom(NONCE_BYTES)
        closed = self._by_name[self._first].encrypt(nonce, text.encode(), column.encode())
        return f"{MARK}{self._first}:{b64encode(nonce + closed).decode()}"

    def open(self, sealed: str, column: str) -> str | None:
        """None where no key of these opens it."""
        name, _, rest = sealed.removeprefix(MARK).partition(":")
        key = self._by_name.get(name)
        if key is None:
            return None
        try:
            raw = b64decode(rest, validate=True)
            return key.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], column.encode()).decode()
        except (InvalidTag, ValueError):
            return None

    def is_current(self, stored: str) -> bool:
        """Whether it is sealed, and by the first key."""
        return stored.startswith(f"{MARK}{self._first}:")


def _name_of(key: bytes) -> str:
    return hashlib.sha256(b"name:" + key).hexdigest()[: 2 * NAME_BYTES]


class Sealed(sa.types.TypeDecorator[str]):
    """A column of text that is sealed in the database and open in Python; None where no key of ours opens it.

    The engine has the keys (`hang_on`). Without them nothing is written: a secret never goes to the database open.
    """

    impl = sa.String(200)
    cache_ok = True

    def __init__(self, column: str) -> None:
        """`column`: where it stands, `table.name`."""
        super().__init__()
        self.column = column

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return _keyring_of(dialect).seal(value, self.column)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or not value.startswith(MARK):
            return value
        opened = _keyring_of(dialect).open(value, self.column)
        if opened is None:
            log.error("a secret in %s opens with no key in TRUNKLINE_SECRET_KEY: add the key that it had", self.column)
        return opened


def hang_on(engine: Engine, keyring: Keyring) -> None:
    """Let this engine open and seal with these keys."""
    setattr(engine.dialect, _ATTRIBUTE, keyring)


def _keyring_of(dialect: Dialect) -> Keyring:
    found: Any = getattr(dialect, _ATTRIBUTE, None)
    if not isinstance(found, Keyring):
        raise TypeError("this engine was made without the secret key, and cannot open or seal secrets")
    return found
