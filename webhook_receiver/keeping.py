"""Keeping what came, in one transaction for all who come at the same moment.

A transaction waits for the database and its disk, whatever is in it. So while one thread writes,
those that come meanwhile wait together, and one of them writes next, for all. Who is alone waits for nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Engine

from models import inbox
from models.base import REFUSED_VALUE, write_at_once


@dataclass(slots=True, eq=False)
class _Came:
    row: Mapping[str, Any]
    is_new: bool | None = None  # None until it has been written
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.is_new is not None or self.error is not None


class Keeper:
    """One for each process; for any number of threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = threading.Lock()  # held by the thread that writes
        self._changing = threading.Lock()  # of the list below
        self._waiting: list[_Came] = []

    def keep(self, row: Mapping[str, Any]) -> bool:
        """Returns once it is committed: whether it is new, or the very same came before. `row` as `models.inbox.keep`.

        Raises what the database raises; then nothing of it was kept, or nobody knows.
        """
        mine = _Came(row)
        with self._changing:
            self._waiting.append(mine)
        with self._writing:
            if not mine.is_done:
                with self._changing:
                    together, self._waiting = self._waiting, []
                self._write(together)
        if mine.error is not None:
            raise mine.error
        assert mine.is_new is not None
        return mine.is_new

    def _write(self, together: Sequence[_Came]) -> None:
        try:
            rows = [one.row for one in together]
            new = write_at_once(self._engine, lambda connection: inbox.keep(connection, rows))
        except REFUSED_VALUE as error:
            # One holds what the database refuses. Alone, it cannot keep the others from being kept.
            if len(together) == 1:
                together[0].error = error
                return
            for one in together:
                self._write([one])
        except BaseException as error:  # noqa: BLE001 -- carried to all who wait: none of them may get its 2xx
            for one in together:
                one.error = error
        else:
            for one in together:
                one.is_new = one.row["id"] in new
