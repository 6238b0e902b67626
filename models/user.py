"""A person who signs in to the console, and what the person's role lets him or her do."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, new_id, words


class Role(StrEnum):
    VIEWER = "viewer"  # sees everything but secrets
    OPERATOR = "operator"  # steers requests, batches, upstreams and deliveries as well
    ADMIN = "admin"  # makes endpoints and ends the sessions of others as well

    def may(self, needed: Role) -> bool:
        """Whether this role includes the other."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


class User(Base):
    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200), unique=True)  # lower case
    role: Mapped[Role] = mapped_column(words(Role))
    password: Mapped[str | None] = mapped_column(sa.String(255))  # argon2; None: signs in through a proxy alone
    generation: Mapped[int] = mapped_column(default=0, server_default="0")  # sessions of an older one have ended
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    signed_in_at: Mapped[datetime | None]


class NameTaken(Exception):
    """There is a user of that name."""


class LastAdmin(Exception):
    """Without this user nobody could make users any more."""


def normal(name: str) -> str:
    """The form in which a name is stored and compared."""
    return name.strip().lower()


def create(session: Session, name: str, role: Role, password: str | None, now: datetime) -> User:
    """Make a user. `password` is a hash, or None. Raises NameTaken."""
    if find(session, name) is not None:
        raise NameTaken(name)
    user = User(id=new_id(), name=normal(name), role=role, password=password, generation=0, created_at=now)
    session.add(user)
    session.flush()
    return user


def find(session: Session, name: str) -> User | None:
    return session.scalar(sa.select(User).where(User.name == normal(name)))


def find_signed_in(session: Session, user_id: UUID, generation: int) -> User | None:
    """The user whose session this is; None where it was ended, or the user may not come in any more."""
    user = session.get(User, user_id)
    if user is None or user.disabled_at is not None or user.generation != generation:
        return None
    return user


def every(session: Session) -> list[User]:
    return list(session.scalars(sa.select(User).order_by(User.name)))


def change_password(user: User, password: str) -> None:
    """Give the user another password (a hash), and end every session."""
    user.password = password
    user.generation += 1


def end_sessions(user: User) -> None:
    """The user has to sign in again, everywhere."""
    user.generation += 1


def require_another_admin(session: Session, user: User) -> None:
    """Raises LastAdmin where no other admin may sign in. Locks all that may, so that two do not demote each other."""
    open_ = (User.role == Role.ADMIN, User.disabled_at.is_(None))
    admins = set(session.scalars(sa.select(User.id).where(*open_).order_by(User.id).with_for_update()))
    if admins == {user.id}:
        raise LastAdmin(user.name)


def change_role(user: User, role: Role) -> None:
    user.role = role


def disable(user: User, now: datetime) -> None:
    """Let the user in no more, and end every session."""
    user.disabled_at = user.disabled_at or now
    user.generation += 1


def enable(user: User) -> None:
    user.disabled_at = None
