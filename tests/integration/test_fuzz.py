"""Anything at all, sent to where upstreams call: no 5xx, and without a token nothing changes.

2,000 inputs, 100,000 with `--chaos=full`, all of one seed (`--chaos-seed`); a failure prints the input.
"""

from __future__ import annotations

import json
import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models.base import Base, read
from models.inbox import Purpose, Received
from models.request import Request
from tests.holding import ask, done
from tests.receiver import Api
from tests.working import every
from worker.inbox import read_inbox
from worker.runtime import Runtime

pytestmark = pytest.mark.timeout(3_600)

FORGED_SHARE = 0.8
"""Of all inputs. The others have a good token, and anything else."""

PATHS = {"callbacks": Purpose.CALLBACK, "calls": Purpose.CALL, "sms": Purpose.SMS}
METHODS = ["GET", "POST", "POST", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO", "post", ""]
MEDIA_TYPES = [
    "application/json", "application/json; charset=utf-16", "application/x-www-form-urlencoded", "text/plain",
    "multipart/form-data", "multipart/form-data; boundary=x", "a/b; c=\xff", ";", "\0", "x" * 400, "text/xml",
]  # fmt: skip
ENCODINGS = ["gzip", "identity", "br", "deflate, gzip", "\xff", ""]
LENGTHS = ["-1", "abc", "0", "7", "65536", "65537", "9" * 30, "1.5", "\xb2", ""]
WORDS = ["status", "completed", "failed", "service_number", "61280740801", "account_id", "7xxx", "callid", "number"]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind will do for so many; that a bad value is refused alike by both is tried with the inbox."""
    return sqlite_url


@pytest.fixture
def inputs(request: pytest.FixtureRequest) -> int:
    return 100_000 if request.config.getoption("--chaos") == "full" else 2_000


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.config.getoption("--chaos-seed"))


def letters(chance: random.Random, most: int) -> str:
    """As a server hands on the bytes of a path, a query or a header: one character each."""
    kinds = ["abcdef0123456789-_", "%&=+;?#/.,:[]{}\"'<>\\ \t", "".join(map(chr, range(256)))]
    return "".join(chance.choices(chance.choice(kinds), k=chance.randint(0, most)))


def forged(chance: random.Random, good: str, request_id: UUID) -> str:
    """No token: a good one with bits flipped, cut, spelt otherwise, or for something else; or anything."""
    raw = bytearray(urlsafe_b64decode(good + "=" * (-len(good) % 4)))
    match chance.randrange(8):
        case 0 | 1 | 2:
            for bit in chance.sample(range(len(raw) * 8), chance.randint(1, 3)):
                raw[bit // 8] ^= 1 << bit % 8
            return urlsafe_b64encode(raw).rstrip(b"=").decode()
        case 3:
            return good[: chance.randrange(len(good))]
        case 4:
            return good + chance.choice(["=", "==", "A", "%3D", "/", " ", "\0", "\n", "\xe9"])
        case 5:
            return chance.choice([good.swapcase(), good[::-1], str(request_id), request_id.hex, "../" + good])
        case 6:
            return urlsafe_b64encode(request_id.bytes + chance.randbytes(21)).rstrip(b"=").decode()
        case _:
            return letters(chance, 80)


def value(chance: random.Random, depth: int = 0) -> Any:
    """Some JSON, often of the words that a vendor uses."""
    match chance.randrange(9 if depth < 4 else 7):
        case 0 | 1:
            return chance.choice(WORDS)
        case 2:
            return chance.choice([None, True, False, 0, -1, 10**30, 1e308, 2**63])
        case 3:
            return chance.choice(["\0", "\ud800", "\u202e", "", "'; DROP TABLE inbox; --", "{{7*7}}", "+61\uff12"])
        case 4 | 5 | 6:
            return letters(chance, 20)
        case 7:
            return [value(chance, depth + 1) for _ in range(chance.randint(0, 4))]
        case _:
            return {chance.choice([*WORDS, letters(chance, 5)]): value(chance, depth + 1) for _ in range(4)}


def body(chance: random.Random) -> bytes:
    match chance.randrange(10):
        case 0:
            return b""
        case 1:
            return chance.randbytes(chance.randint(1, 300))
        case 2:
            return chance.choice([b"[", b'{"a":', b"<a>"]) * chance.choice([10, 1_000, 20_000])
        case 3:
            return b"x" * chance.choice([65_535, 65_536, 65_537, 200_000])
        case 4:
            return "&".join(f"{chance.choice(WORDS)}={letters(chance, 9)}" for _ in range(5)).encode("latin-1")
        case 5:
            said = bytearray(json.dumps(value(chance)).encode())
            for _ in range(min(len(said), 3)):
                said[chance.randrange(len(said))] = chance.randrange(256)
            return bytes(said)
        case _:
            return json.dumps({word: value(chance) for word in chance.sample(WORDS, 5)}).encode()


def environ(chance: random.Random, path: str) -> dict[str, Any]:
    """What a server hands on of a request to this path, with anything in all other places."""
    content = body(chance)
    made: dict[str, Any] = {
        "REQUEST_METHOD": chance.choice(METHODS),
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": chance.choice(["", "status=completed", letters(chance, 60), "a=" * 40_000]),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": chance.choice(["203.0.113.7", "", "::1", "nonsense"]),
        "HTTP_HOST": chance.choice(["localhost", "", "\xff", "a b", "[", "localhost:99999"]),
        "CONTENT_LENGTH": str(len(content)) if chance.random() < 0.8 else chance.choice(LENGTHS),
        "CONTENT_TYPE": chance.choice([*MEDIA_TYPES, letters(chance, 30)]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(content),
        "wsgi.errors": BytesIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if chance.random() < 0.2:
        del made["CONTENT_LENGTH"]
        made |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    if chance.random() < 0.2:
        made["HTTP_CONTENT_ENCODING"] = chance.choice(ENCODINGS)
    if chance.random() < 0.2:
        made["HTTP_" + chance.choice(["X_FORWARDED_FOR", "EXPECT", "COOKIE", "AUTHORIZATION"])] = letters(chance, 40)
    return made


def send(api: Api, given: dict[str, Any]) -> int:
    """The status of the answer, which is read to its end."""
    seen: list[str] = []

    def start(status: str, _headers: Sequence[tuple[str, str]], _error: Any = None) -> Any:
        seen.append(status)

    answer = api.app.wsgi_app(given, start)
    for _ in answer:
        pass
    if (close := getattr(answer, "close", None)) is not None:
        close()
    return int(seen[-1].split()[0])


def everything(engine: Engine) -> dict[str, list[Any]]:
    """Every row of every table."""
    return read(
        engine,
        lambda session: {
            table.name: sorted(map(repr, session.execute(sa.select(table)).all()))
            for table in Base.metadata.sorted_tables
        },
    )


def tokens(api: Api) -> Iterator[tuple[str, str, UUID]]:
    """Each way to each of two requests: one that is under way, and one that has ended."""
    for request_id in (ask(api.engine, number=None), done(api.engine)):
        for path, purpose in PATHS.items():
            yield path, api.token(purpose, of=request_id), request_id


def test_without_a_token_nothing_changes_and_nothing_is_5xx(api: Api, inputs: int, chance: random.Random) -> None:
    ways, statuses = list(tokens(api)), set()
    good = {token for _, token, _ in ways}
    before = everything(api.engine)
    for _ in range(int(inputs * FORGED_SHARE)):
        path, token, request_id = chance.choice(ways)
        wrong = forged(chance, token, request_id)
        if wrong in good:
            continue
        upstream = chance.choice(["avanser", "telmetrics", "messagemedia", "nobody", letters(chance, 8)])
        given = environ(chance, f"/{path}/{upstream}/{wrong}")
        status = send(api, given)
        assert 400 <= status < 500, (status, given)
        statuses.add(status)
    assert 404 in statuses
    assert everything(api.engine) == before


def test_with_a_token_nothing_is_5xx_and_all_that_was_kept_is_read(
    api: Api, runtime: Runtime, engine: Engine, inputs: int, chance: random.Random
) -> None:
    ways, taken = list(tokens(api)), 0
    kept_before = [one.id for one in every(engine, Request)]
    for _ in range(int(inputs * (1 - FORGED_SHARE))):
        path, token, _ = chance.choice(ways)
        given = environ(chance, f"/{path}/avanser/{token}")
        status = send(api, given)
        assert status < 500, (status, given)
        taken += status == 200
    assert taken > 0
    while read_inbox(runtime):
        pass
    rows = every(engine, Received)
    assert 0 < len(rows) <= taken
    assert all(row.applied_at is not None or row.problem for row in rows), "one hangs"
    assert [one.id for one in every(engine, Request)] == kept_before
