"""Who asks: a requester, its default signing secret, and the API keys that act for it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64encode
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, changed, insert_for, new_id
from models.sealed import Sealed

DEFAULT_REQUESTER = "default"
KEY_PREFIX = "tk_"

USE_NOTED_EVERY = timedelta(minutes=1)
"""So exact is a key's `last_used_at`: it is for people who wonder whether a key may go, and costs a write."""


class Scope(StrEnum):
    SUBMIT = "submit"  # make requests and batches
    READ = "read"  # see them
    OPERATE = "operate"  # cancel, retry, resolve, replay, pause
    ADMIN = "admin"  # keys and endpoints


class Requester(Base):
    __tablename__ = "requesters"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200), unique=True)
    # `whsec_…`: signs results sent to a `notify_url`. None where no key of ours opens it: see `models.sealed`.
    secret: Mapped[str | None] = mapped_column(Sealed("requesters.secret"), nullable=False)
    created_at: Mapped[datetime]


LIMITED = sa.text("numbers_per_day IS NOT NULL")
"""Written out, because only so is the index found that is made for it."""


class ApiKey(Base):
    __tablename__ = "api_keys"
    __table_args__ = (sa.Index("ix_api_keys_limited", "id", postgresql_where=LIMITED, sqlite_where=LIMITED),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    requester_id: Mapped[UUID] = mapped_column(sa.ForeignKey("requesters.id"))
    name: Mapped[str] = mapped_column(sa.String(200))
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    numbers_per_day: Mapped[int | None]  # that may be bought with it: see `models.spending`
    expires_at: Mapped[datetime | None]  # None: never
    last_used_at: Mapped[datetime | None]
    requests_a_minute: Mapped[int | None]  # None: as the settings say for all keys; 0: any number


@dataclass(frozen=True, slots=True)
class Caller:
    """Who stands behind an API key that was found good."""

    key_id: UUID
    requester_id: UUID
    requester: str
    scopes: frozenset[Scope]
    last_used_at: datetime | None = None  # as far as it was noted
    requests_a_minute: int | None = None  # that it may make, where that is not what the settings say; 0: any number


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


def names_of(session: Session, ids: Iterable[UUID]) -> dict[UUID, str]:
    """What these requesters are called."""
    wanted = set(ids)
    if not wanted:
        return {}
    return {
        row.id: row.name
        for row in session.execute(sa.select(Requester.id, Requester.name).where(Requester.id.in_(wanted)))
    }


def create_key(
    session: Session,
    requester: Requester,
    name: str,
    scopes: Sequence[Scope],
    now: datetime,
    *,
    numbers_per_day: int | None = None,
    expires_at: datetime | None = None,
    requests_a_minute: int | None = None,
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
        numbers_per_day=numbers_per_day,
        expires_at=expires_at,
        requests_a_minute=requests_a_minute,
    )
    session.add(key)
    session.flush()
    return key, text


def find_caller(session: Session, text: str, now: datetime) -> Caller | None:
    """Who calls with this key; None for one that is unknown, revoked or past its time."""
    digest = _digest(text)
    is_open = ApiKey.revoked_at.is_(None) & (ApiKey.expires_at.is_(None) | (ApiKey.expires_at > now))
    row = session.execute(
        sa.select(ApiKey, Requester.name)
        .join(Requester, Requester.id == ApiKey.requester_id)
        .where(ApiKey.digest == digest, is_open)
    ).first()
    if row is None or not hmac.compare_digest(row.ApiKey.digest, digest):
        return None
    key: ApiKey = row.ApiKey
    scopes = frozenset(Scope(scope) for scope in key.scopes)
    return Caller(key.id, key.requester_id, row.name, scopes, key.last_used_at, key.requests_a_minute)


def is_use_news(last_used_at: datetime | None, now: datetime) -> bool:
    """Whether a use now is worth a write, after one that was noted then."""
    return last_used_at is None or now - last_used_at >= USE_NOTED_EVERY


def note_use(session: Session, key_ids: Collection[UUID], now: datetime) -> int:
    """Write down that these keys were used now; returns of how many it was news.

    A key that somebody else writes at this moment is passed over: no use is worth waiting for.
    """
    is_news = ApiKey.last_used_at.is_(None) | (ApiKey.last_used_at <= now - USE_NOTED_EVERY)
    free = (
        sa.select(ApiKey.id)
        .where(ApiKey.id.in_(key_ids), is_news)
        .order_by(ApiKey.id)
        .with_for_update(skip_locked=True, key_share=True)
    )
    return changed(session.execute(sa.update(ApiKey).where(ApiKey.id.in_(free)).values(last_used_at=now)))


def revoke_key(session: Session, key_id: UUID, now: datetime) -> bool:
    """Close a key at once; False where there is none open of that id."""
    done = session.execute(
        sa.update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None)).values(revoked_at=now)
    )
    return bool(changed(done))


def limit_key(session: Session, key_id: UUID, numbers_per_day: int | None) -> bool:
    """How many numbers may be bought with a key in a day, None: any number; False where there is no such key."""
    done = session.execute(sa.update(ApiKey).where(ApiKey.id == key_id).values(numbers_per_day=numbers_per_day))
    return bool(changed(done))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
