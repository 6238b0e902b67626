"""Who asks: a requester, its default signing secret, and the API keys that act for it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, changed, insert_for, new_id

DEFAULT_REQUESTER = "default"
KEY_PREFIX = "tk_"


class Scope(StrEnum):
    SUBMIT = "submit"  # make requests and batches
    READ = "read"  # see them
    OPERATE = "operate"  # cancel, retry, resolve, replay, pause
    ADMIN = "admin"  # keys and endpoints


class Requester(Base):
    __tablename__ = "requesters"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200), unique=True)
    secret: Mapped[str] = mapped_column(sa.String(200))  # `whsec_…`: signs results sent to a `notify_url`
    created_at: Mapped[datetime]


class ApiKey(Base):
    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    requester_id: Mapped[UUID] = mapped_column(sa.ForeignKey("requesters.id"))
    name: Mapped[str] = mapped_column(sa.String(200))
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who stands behind an API key that was found good."""

    key_id: UUID
    requester_id: UUID
    requester: str
    scopes: frozenset[Scope]


def new_signing_secret() -> str:
    """A Standard Webhooks secret: `whsec_` and 32 random bytes in base64."""
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()


def find_or_make(session: Session, name: str, now: datetime) -> Requester:
    """The requester of that name, made where it is new."""
    if (found := find(session, name)) is not None:
        return found
    new = {"id": new_id(), "name": name, "secret": new_signing_secret(), "created_at": now}
    session.execute(insert_for(session)(Requester).values(**new).on_conflict_do_nothing(index_elements=["name"]))
    return session.scalars(sa.select(Requester).where(Requester.name == name)).one()


def find(session: Session, name: str) -> Requester | None:
    return session.scalar(sa.select(Requester).where(Requester.name == name))


def create_key(
    session: Session, requester: Requester, name: str, scopes: Sequence[Scope], now: datetime
) -> tuple[ApiKey, str]:
    """Make a key and return it with its secret text, which is stored nowhere and cannot be shown again.

    The text carries 256 random bits, so a plain SHA-256 is enough to store: there is nothing to guess.
    """
    text = KEY_PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        id=new_id(),
        requester_id=requester.id,
        name=name,
        digest=_digest(text),
        scopes=sorted(scope.value for scope in scopes),
        created_at=now,
    )
    session.add(key)
    session.flush()
    return key, text


def find_caller(session: Session, text: str) -> Caller | None:
    """Who calls with this key; None for one that is unknown or revoked."""
    digest = _digest(text)
    row = session.execute(
        sa.select(ApiKey, Requester.name)
        .join(Requester, Requester.id == ApiKey.requester_id)
        .where(ApiKey.digest == digest, ApiKey.revoked_at.is_(None))
    ).first()
    if row is None or not hmac.compare_digest(row.ApiKey.digest, digest):
        return None
    key: ApiKey = row.ApiKey
    return Caller(key.id, key.requester_id, row.name, frozenset(Scope(scope) for scope in key.scopes))


def revoke_key(session: Session, key_id: UUID, now: datetime) -> bool:
    """Close a key at once; False where there is none open of that id."""
    done = session.execute(
        sa.update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None)).values(revoked_at=now)
    )
    return bool(changed(done))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
