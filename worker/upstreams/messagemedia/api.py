"""MessageMedia's calls about dedicated numbers, each asked once, and what it answered.

A read that fails is Unavailable. An order that is answered by anything but MessageMedia's own words is of unknown
outcome: a proxy's 404 proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from worker.upstreams.ask import Asker, Question
from worker.upstreams.base import Unavailable, Unreadable
from worker.upstreams.http import Reply
from worker.upstreams.messagemedia.replies import Assignment, Page, Refusal

ROWS_ON_A_PAGE = 50
"""MessageMedia's own default, said aloud."""

LONGEST_LIST = 4 * 1024 * 1024
"""Bytes of one page."""

IS_URL_RIGHT = "is TRUNKLINE_MESSAGEMEDIA_URL right?"


class Until:
    """The end of a time that several calls share."""

    def __init__(self, deadline: timedelta) -> None:
        self._whole, self._end = deadline, time.monotonic() + deadline.total_seconds()

    @property
    def left(self) -> timedelta:
        return timedelta(seconds=self._end - time.monotonic())

    def has(self, share: float) -> bool:
        """Whether this share of the whole is left."""
        return self.left >= self._whole * share


class NumbersApi:
    """All of it under one base URL, `…/v1/messaging/numbers/dedicated`."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def page(self, path: str, params: Mapping[str, str], until: Until) -> Page | Refusal:
        """A page of the list at `path`. Raises Unavailable."""
        question = Question("GET", path, params, most=LONGEST_LIST)
        said = await self._ask(question, until)
        if isinstance(said, Refusal):
            return said
        try:
            return Page.of(said)
        except Unreadable as error:
            raise Unavailable(f"MessageMedia's list cannot be read: {error}") from None

    async def read(self, number_id: str, until: Until) -> Assignment | None:
        """What is written on the number; None where our account has not got it. Raises Unavailable."""
        question = Question("GET", _path(number_id))
        said = await self._ask(question, until)
        if not isinstance(said, Refusal):
            return _assignment(question, said)
        if said.status == 404:
            return None
        raise Unavailable(str(said))

    async def assign(self, number_id: str, body: Mapping[str, Any], until: Until) -> Refusal | None:
        """Order the number; None says that it is ours. Raises Unavailable, OutcomeUnknown."""
        question = Question("POST", _path(number_id), document=body)
        said = await self._ask(question, until)
        if isinstance(said, Refusal):
            return said
        if _assignment(question, said).number_id not in (None, number_id):
            raise question.unclear("MessageMedia's answer is about another number")
        return None

    async def change(self, number_id: str, body: Mapping[str, Any], until: Until) -> Refusal | None:
        """None says that it is done. Raises Unavailable, OutcomeUnknown.

        The guide answers 200 and shows the assignment (with a label that was not sent: it is not compared), the
        reference answers 204.
        """
        question = Question("PATCH", _path(number_id), document=body)
        said = await self._ask(question, until)
        if isinstance(said, Refusal):
            return said
        if said.body and _assignment(question, said).number_id not in (None, number_id):
            raise question.unclear("MessageMedia's answer is about another number")
        return None

    async def give_up(self, number_id: str, until: Until) -> Refusal | None:
        """None says that it is done. Raises Unavailable, OutcomeUnknown."""
        question = Question("DELETE", _path(number_id))
        said = await self._ask(question, until)
        if isinstance(said, Refusal):
            return said
        if said.status != 204:
            raise question.unclear(f"MessageMedia answered {said.status} where it documents 204")
        return None

    async def _ask(self, question: Question, until: Until) -> Reply | Refusal:
        reply = await self._asker.ask(question, until.left)
        if reply.is_success:
            return reply
        try:
            return Refusal.of(reply)
        except Unreadable as error:
            detail = f"HTTP {reply.status}, but not in MessageMedia's words: {error}; {IS_URL_RIGHT}"
            raise question.unclear(detail) from None


class Listing:
    """A list of MessageMedia's, read page by page by its tokens, `most_pages` of them."""

    def __init__(self, api: NumbersApi, path: str, params: Mapping[str, str], most_pages: int) -> None:
        self._api, self._path = api, path
        self._params = {**params, "page_size": params.get("page_size", str(ROWS_ON_A_PAGE))}
        self._pages_left = most_pages
        self._token: str | None = None
        self._seen: set[str] = set()
        self._has_begun = False

    @property
    def is_cut(self) -> bool:
        """There is more than was read."""
        return self._token is not None

    async def next_page(self, until: Until) -> Sequence[Mapping[str, Any]] | None:
        """The rows; None behind the last page. Raises Unavailable, and Refused for what it cannot be asked."""
        if not self._pages_left or (self._has_begun and self._token is None):
            return None
        params = self._params | ({"token": self._token} if self._token is not None else {})
        page = await self._api.page(self._path, params, until)
        if isinstance(page, Refusal):
            raise Refused(page)
        if page.next_token in self._seen:
            raise Unavailable("MessageMedia's list does not end: a token came twice")
        self._has_begun, self._token = True, page.next_token
        self._pages_left -= 1
        if self._token is not None:
            self._seen.add(self._token)
        return page.rows

    async def rows(self, until: Until) -> list[Mapping[str, Any]]:
        """Of all pages. Raises as `next_page`."""
        found: list[Mapping[str, Any]] = []
        while (rows := await self.next_page(until)) is not None:
            found += rows
        return found


class Refused(Unavailable):
    """A list was refused in MessageMedia's words. Nothing was ordered."""

    def __init__(self, refusal: Refusal) -> None:
        self.is_about_what_was_asked = refusal.status != 404
        super().__init__(str(refusal) if self.is_about_what_was_asked else f"{refusal}; {IS_URL_RIGHT}")


def _path(number_id: str) -> str:
    return f"/{quote(number_id, safe='')}/assignment"


def _assignment(question: Question, reply: Reply) -> Assignment:
    try:
        return Assignment.of(reply.json())
    except Unreadable as error:
        raise question.unclear(f"MessageMedia's answer cannot be read: {error}") from None
