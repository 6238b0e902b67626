"""How a question travels: the one module of the client that knows httpx."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

import httpx

from worker.client.asking import Answer, NoAnswer, Pause, Plan, Step, Try, Upload

T = TypeVar("T")

PIECE = 64 * 1024  # bytes

LONGEST_CONNECT = 10.0  # seconds

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Blocking:
    """Carries out plans in the caller's thread. Threads may share one."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._http = httpx.Client(base_url=_checked(base_url), headers=_headers(api_key))

    def run(self, plan: Plan[T]) -> T:
        try:
            step = next(plan)
            while True:
                try:
                    got = self._do(step)
                except NoAnswer as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(got)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _do(self, step: Step) -> Answer | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        upload = step.question.upload
        try:
            response = self._http.request(**_sent(step), content=None if upload is None else _pieces(upload))
        except httpx.HTTPError as error:
            raise _no_answer(error) from None
        return _answer(response)

    def close(self) -> None:
        self._http.close()


class Waiting:
    """Carries out plans on the event loop (asyncio)."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._http = httpx.AsyncClient(base_url=_checked(base_url), headers=_headers(api_key))

    async def run(self, plan: Plan[T]) -> T:
        try:
            step = next(plan)
            while True:
                try:
                    got = await self._do(step)
                except NoAnswer as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(got)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def _do(self, step: Step) -> Answer | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        upload = step.question.upload
        try:
            response = await self._http.request(
                **_sent(step), content=None if upload is None else _pieces_later(upload)
            )
        except httpx.HTTPError as error:
            raise _no_answer(error) from None
        return _answer(response)

    async def close(self) -> None:
        await self._http.aclose()


def _checked(base_url: str) -> str:
    url = httpx.URL(base_url)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("base_url: must be the address of the receiver, such as https://trunkline.example")
    return base_url.rstrip("/")


def _headers(api_key: str) -> dict[str, str]:
    if not (api_key and api_key.isascii() and api_key.isprintable()):
        raise ValueError("api_key: must be a key as `trunkline keys create` prints it")
    return {"Authorization": f"Bearer {api_key}", "Accept": "application/json", "User-Agent": "trunkline-client"}


def _sent(step: Try) -> dict[str, Any]:
    question = step.question
    timeout = httpx.Timeout(step.timeout, connect=min(step.timeout, LONGEST_CONNECT))
    sent: dict[str, Any] = {"method": question.method, "url": question.path, "timeout": timeout}
    sent |= {"params": dict(question.query), "headers": dict(question.headers)}
    return sent if question.json is None else sent | {"json": question.json}


def _pieces(upload: Upload) -> Iterator[bytes]:
    upload.file.seek(0)
    sent = 0
    while piece := upload.file.read(PIECE):
        yield piece
        sent += len(piece)
        if upload.on_progress is not None:
            upload.on_progress(sent, upload.size)


async def _pieces_later(upload: Upload) -> AsyncIterator[bytes]:
    """Reading 64 KiB of a local file takes less than handing it to a thread would."""
    for piece in _pieces(upload):
        yield piece


def _no_answer(error: httpx.HTTPError) -> NoAnswer:
    said = str(error)
    return NoAnswer(f"{type(error).__name__}{said and ': '}{said}", was_sent=not isinstance(error, NEVER_SENT))


def _answer(response: httpx.Response) -> Answer:
    try:
        body = response.json()
    except ValueError:
        body = None
    after = response.headers.get("Retry-After", "")
    return Answer(response.status_code, body, float(after) if after.isascii() and after.isdigit() else None)
