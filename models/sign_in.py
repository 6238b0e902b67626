"""Signing in is slowed for who guesses: failures are counted by name and address, and too many of them close the door.

In the database and not in Redis, for a guesser must not gain by Redis being away.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, new_id

WINDOW = timedelta(minutes=15)

MOST_OF_A_PAIR = 5
"""Failures of one name from one address, in the window: a person who mistypes."""

MOST_OF_AN_ADDRESS = 30
"""Of one address under any names: an office behind one router, on a bad day."""

MOST_OF_A_NAME = 100
"""Of one name from anywhere. So many that who wants to lock a colleague out has work to do, and yet in a day no more
than ten thousand passwords are tried."""


class SignInFailure(Base):
    __tablename__ = "sign_in_failures"
    __table_args__ = (
        sa.Index("ix_sign_in_failures_name", "name", "at"),
        sa.Index("ix_sign_in_failures_address", "address", "at"),
        sa.Index("ix_sign_in_failures_at", "at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    address: Mapped[str] = mapped_column(sa.String(64))
    at: Mapped[datetime]


def is_closed(session: Session, name: str, address: str, now: datetime) -> bool:
    """Whether too many have failed of late: then not even the right password is looked at."""
    row, since = SignInFailure, SignInFailure.at > now - WINDOW
    bounds = (
        ((row.name == name, row.address == address), MOST_OF_A_PAIR),
        ((row.address == address,), MOST_OF_AN_ADDRESS),
        ((row.name == name,), MOST_OF_A_NAME),
    )
    for conditions, most in bounds:
        some = sa.select(row.id).where(*conditions, since).limit(most).subquery()
        if (session.scalar(sa.select(sa.func.count()).select_from(some)) or 0) >= most:
            return True
    return False


def note_failure(session: Session, name: str, address: str, now: datetime) -> None:
    """One more; and what is older than the window is forgotten."""
    session.execute(sa.delete(SignInFailure).where(SignInFailure.at <= now - WINDOW))
    session.add(SignInFailure(id=new_id(), name=name[:200], address=address[:64], at=now))


def forget(session: Session, name: str, address: str) -> None:
    """Who has come in begins anew."""
    session.execute(sa.delete(SignInFailure).where(SignInFailure.name == name, SignInFailure.address == address))
