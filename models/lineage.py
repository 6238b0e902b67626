"""Which history this database is of, so that a restored one is not taken for the one that was.

After a restore to a point in time, or when an asynchronous standby takes over, what was ordered last is missing from
our books: requests stand `queued` whose numbers are paid for. Whoever then went on would buy those twice. PostgreSQL
counts such forks (its timeline, "25.3.6 Timelines") and names each cluster (its system identifier): if these are not
what we wrote down, the switch of all upstreams is turned off, before anything is claimed, until a person has compared
the books.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import upstream
from models.base import Base, insert_for

RESTORED = "database_restored"
"""Why all upstreams are paused."""

DETAIL = (
    "The database is not the one that it was: a backup was restored, or a standby took over. What was ordered last may"
    " be missing from it. Compare first (trunkline reconcile), adopt what is missing (--adopt --all), then"
    " trunkline upstream resume --all."
)

_ID = 1


class Lineage(Base):
    """One row: the history that we have seen last."""

    __tablename__ = "lineages"

    id: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    identity: Mapped[str] = mapped_column(sa.String(64))
    seen_at: Mapped[datetime]


def current(session: Session) -> str | None:
    """The history that this database is of: cluster and timeline. None on SQLite, which does not know, and on a server
    that does not tell us. Raises DBAPIError on a standby: it may yet take over."""
    if session.get_bind().dialect.name != "postgresql":
        return None
    try:
        with session.begin_nested():
            found = session.execute(sa.text(_CURRENT)).one()
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in _UNTOLD:
            raise
        return None
    return f"{found.cluster}/{found.timeline}"


_UNTOLD = {"42501", "42883"}
"""PostgreSQL: insufficient privilege, undefined function."""

_CURRENT = """
    SELECT system_identifier AS cluster, left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline
    FROM pg_control_system()
"""


def check(session: Session, now: datetime, *, may_go_on: bool = False) -> bool:
    """Pause all upstreams where the history is another than the one seen last; says whether it is. Does not commit.

    It is noticed once, by whoever comes first; who comes at the same moment waits until that is committed. `may_go_on`
    only writes it down.
    """
    identity = current(session)
    if identity is None:
        return False
    seen = session.scalar(sa.select(Lineage.identity))
    if seen == identity:
        return False
    if seen is None:
        session.execute(
            insert_for(session)(Lineage)
            .values(id=_ID, identity=identity, seen_at=now)
            .on_conflict_do_nothing(index_elements=["id"])
        )
        return False
    noticed = sa.update(Lineage).where(Lineage.identity == seen).values(identity=identity, seen_at=now)
    if not session.execute(noticed.returning(Lineage.id)).all():
        return False
    if not may_go_on:
        _pause(session, now)
    return True


def check_connection(session: Session, now: datetime, *, may_go_on: bool = False) -> bool:
    """As `check`, asked once of each connection, for none survives the end of its server: for what may cost nothing."""
    info = session.connection().info
    if info.get(_CHECKED):
        return False
    is_another = check(session, now, may_go_on=may_go_on)
    # Only then: what was noticed may yet be rolled back, and must be noticed again by whoever repeats it.
    info[_CHECKED] = not is_another
    return is_another


_CHECKED = "trunkline_lineage"


def _pause(session: Session, now: datetime) -> None:
    """Also where a person had paused all of them: who lifts that must have read this."""
    before = upstream.own_pause(session, upstream.ALL)
    detail = DETAIL
    if before is not None:
        detail += f" (Paused before by {before.actor}: {before.detail})"
        upstream.resume(session, upstream.ALL)
    upstream.pause(session, upstream.ALL, RESTORED, detail, "worker", now)
