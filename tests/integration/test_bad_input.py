"""Everything that can be wrong with what is sent: a clear error with its place, and nothing half-taken."""

import gzip
import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from models.base import make_engine
from models.inbox import Purpose
from models.request import Kind
from models.requester import Scope
from tests.factory import KEYRING, make_requester
from tests.holding import done
from tests.receiver import BODY, COLUMNS, SPEC, Api, chunked, csv_file, declared, receiver, row, settings_for
from webhook_receiver.context import BodyLimits

DEEP = 100_000


def send(api: Api, raw: bytes, media_type: str = "application/json") -> TestResponse:
    return api.post("/v1/requests", data=raw, media_type=media_type)


def send_file(api: Api, raw: bytes, media_type: str = "text/csv", query: str = "") -> TestResponse:
    return api.post(f"/v1/batches{query}", data=raw, media_type=media_type)


def places(answer: TestResponse) -> list[tuple[Any, ...]]:
    """What each error names: the pointer of a body, or line and field of a file."""
    errors = (answer.json or {})["errors"]
    return [(one["line"], one["field"]) if "line" in one else (one["pointer"],) for one in errors]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"upstream": "avanser",}',
        b"{'upstream': 'avanser'}",
        b'{"upstream": NaN}',
        b'{"upstream": -Infinity}',
        b'{"upstream": "avanser", "upstream": "telmetrics"}',
        b'{"upstream": "\xff"}',
        json.dumps(BODY).encode("utf-16"),
        b"[" * DEEP,
        b'{"spec": ' * DEEP + b"1" + b"}" * DEEP,
        b'{"spec": ' + b"[" * 40 + b"]" * 40 + b"}",
        json.dumps(BODY).encode()[:-1],
        json.dumps(BODY).encode() * 2,
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_what_is_not_json_is_400(api: Api, raw: bytes) -> None:
    answer = send(api, raw)

    assert (answer.status_code, (answer.json or {})["code"]) == (400, "unreadable")
    api.assert_nothing_was_taken()


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"upstream": None}, "/upstream"),
        ({"upstream": 7}, "/upstream"),
        ({"upstream": "nobody"}, "/upstream"),
        ({"upstream": "telmetrics"}, "/upstream"),
        ({"kind": "buy"}, "/kind"),
        ({"custom_id": 17}, "/custom_id"),
        ({"custom_id": ""}, "/custom_id"),
        ({"custom_id": "x" * 300}, "/custom_id"),
        ({"custom_id": "a\0b"}, "/custom_id"),
        ({"custom_group": "\ud800"}, "/custom_group"),
        ({"spec": []}, "/spec"),
        ({"spec": SPEC | {"name": 10**400}}, "/spec/name"),
        ({"spec": SPEC | {"surprise": 1}}, "/spec/surprise"),
        (
            {"spec": SPEC | {"service": {"type": "transfer", "answer_point": "not a number"}}},
            "/spec/service/answer_point",
        ),
        ({"surprise": 1}, "/surprise"),
        ({"a/b~c": 1}, "/a~1b~0c"),
        ({"kind": "release", "number": "not a number"}, "/number"),
        ({"kind": "update"}, "/number"),
        ({"deadline": "yesterday"}, "/deadline"),
        ({"deadline": "2020-01-01T00:00:00Z"}, "/deadline"),
        ({"deadline": "2030-01-01T00:00:00"}, "/deadline"),
        ({"deadline": "0001-01-01T00:00:00+14:00"}, "/deadline"),
        ({"endpoint": "none of yours"}, "/endpoint"),
        ({"notify_url": "not a url"}, "/notify_url"),
        ({"on_out_of_stock": "hope"}, "/on_out_of_stock"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_422_and_says_where(api: Api, change: dict[str, Any], pointer: str) -> None:
    answer = send(api, json.dumps(BODY | change).encode())

    assert (answer.status_code, (answer.json or {})["code"]) == (422, "invalid")
    assert (pointer,) in places(answer)
    api.assert_nothing_was_taken()


def test_all_faults_are_told_at_once(api: Api) -> None:
    answer = send(api, json.dumps(BODY | {"kind": "buy", "custom_id": 7, "surprise": 1}).encode())

    assert {place for (place,) in places(answer)} == {"/kind", "/custom_id", "/surprise"}


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"7", b"null", b"true"])
def test_what_is_no_object_is_422(api: Api, raw: bytes) -> None:
    assert (send(api, raw).status_code, places(send(api, raw))) == (422, [("",)])


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/xml", "application/json; charset=latin-1"])
@pytest.mark.parametrize("path", ["/v1/requests", "/v1/batches", "/v1/endpoints"])
def test_another_media_type_is_415(api: Api, path: str, media_type: str | None) -> None:
    answer = api.post(path, data=json.dumps(BODY).encode(), media_type=media_type)

    assert (answer.status_code, (answer.json or {})["code"]) == (415, "media_type_unknown")
    assert "application/json" in answer.headers["Accept"]
    api.assert_nothing_was_taken()


BODIES = [(one.method, one.path, media_type) for one in declared() for media_type in one.bodies]
BODIES += [("POST", path, "application/json") for path in ("/callbacks", "/calls", "/sms")]
"""Every route that takes a body, with each media type that it takes."""

FILL = {"<uuid:request_id>": str(UUID(int=7)), "<number>": "0280740801"}


def place(api: Api, path: str) -> str:
    """A path of this route that gets as far as the body."""
    if (purpose := PURPOSES.get(path)) is not None:
        return f"{path}/avanser/{api.token(purpose)}"
    for variable, value in FILL.items():
        path = path.replace(variable, value)
    return re.sub("<[^>]+>", str(UUID(int=7)), path)


PURPOSES = {"/callbacks": Purpose.CALLBACK, "/calls": Purpose.CALL, "/sms": Purpose.SMS}


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "GZIP", "unheard-of"])
@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize(("method", "path", "media_type"), BODIES, ids=str)
def test_a_compressed_body_is_415_wherever_one_is_taken(
    api: Api, method: str, path: str, media_type: str, is_chunked: bool, encoding: str
) -> None:
    done(api.engine)
    body, headers = gzip.compress(b" " * 1_000_000), {"Content-Encoding": encoding, "Content-Type": media_type}
    before = api.requests()
    more: dict[str, Any] = chunked(body, **headers) if is_chunked else {"data": body, "headers": headers}
    answer = api.call(method, place(api, path), **more)

    assert (answer.status_code, (answer.json or {})["code"]) == (415, "encoding_unknown")
    assert answer.headers["Accept-Encoding"] == "identity"
    assert [one.id for one in api.requests()] == [one.id for one in before]
    assert api.received() == []


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize(("method", "path", "media_type"), BODIES, ids=str)
def test_a_body_that_is_too_long_is_413_wherever_one_is_taken(
    monkeypatch: pytest.MonkeyPatch,
    sqlite_url: str,
    tmp_path: Path,
    method: str,
    path: str,
    media_type: str,
    is_chunked: bool,
) -> None:
    engine = make_engine(sqlite_url, keyring=KEYRING)
    limits = BodyLimits(callback=1_000, single=1_000, batch=1_000)
    with receiver(settings_for(monkeypatch, sqlite_url, str(tmp_path)), engine, limits) as api:
        done(engine)
        body, headers = b"[" * 1_001, {"Content-Type": media_type}
        more: dict[str, Any] = chunked(body, **headers) if is_chunked else {"data": body, "headers": headers}
        answer = api.call(method, place(api, path), **more)
        assert (answer.status_code, (answer.json or {})["code"]) == (413, "too_large")
        assert api.received() == []
    engine.dispose()


def test_a_body_over_the_limit_is_413(api: Api) -> None:
    answer = send(api, json.dumps(BODY | {"custom_group": "x" * 1_048_576}).encode())

    assert (answer.status_code, (answer.json or {})["code"]) == (413, "too_large")
    api.assert_nothing_was_taken()


@pytest.mark.parametrize("key", ["", "x" * 256, "\x07", "\xe9"])
def test_an_idempotency_key_that_is_none_is_422(api: Api, key: str) -> None:
    answer = api.post("/v1/requests", json=BODY, headers={"Idempotency-Key": key})

    assert answer.status_code == 422
    assert [error["parameter"] for error in (answer.json or {})["errors"]] == ["Idempotency-Key"]
    api.assert_nothing_was_taken()


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/v1/requests?state=lost", "state"),
        ("/v1/requests?upstream=nobody", "upstream"),
        ("/v1/requests?kind=buy", "kind"),
        ("/v1/requests?batch=7", "batch"),
        ("/v1/requests?limit=0", "limit"),
        ("/v1/requests?limit=ten", "limit"),
        ("/v1/requests?limit=" + "9" * 5_000, "limit"),
        ("/v1/requests?cursor=x", "cursor"),
        ("/v1/requests?stat=held", "stat"),
        ("/v1/requests?q=a&q=b", "q"),
        ("/v1/requests?q=%00", "q"),
        ("/v1/requests?reason=a%00b", "reason"),
        ("/v1/calls?number=none", "number"),
        ("/v1/calls?since=yesterday", "since"),
        ("/v1/calls?since=2026-01-01T00:00:00", "since"),
        ("/v1/calls?since=0001-01-01T00:00:00%2B14:00", "since"),
        ("/v1/calls?cursor=x", "cursor"),
        ("/v1/messages?number=none", "number"),
        ("/v1/messages?number=%00", "number"),
        ("/v1/messages?since=yesterday", "since"),
        ("/v1/messages?since=2026-01-01T00:00:00", "since"),
        ("/v1/messages?cursor=x", "cursor"),
        ("/v1/messages?limit=0", "limit"),
        ("/v1/messages?sender=0400000001", "sender"),
        ("/v1/numbers?upstream=nobody", "upstream"),
        ("/v1/numbers?released=maybe", "released"),
        ("/v1/numbers?released=True", "released"),
        ("/v1/numbers?cursor=x", "cursor"),
        ("/v1/numbers?limit=0", "limit"),
        ("/v1/numbers?q=%00", "q"),
        ("/v1/numbers?state=held", "state"),
        ("/v1/deliveries?state=lost", "state"),
        ("/v1/deliveries?request=7", "request"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_parameter_is_422_and_named(api: Api, path: str, parameter: str) -> None:
    answer = api.get(path)

    assert answer.status_code == 422
    assert [error["parameter"] for error in (answer.json or {})["errors"]] == [parameter]


@pytest.mark.parametrize("query", ["now=maybe", "now=2", "now=true&now=true", "later=true"])
def test_a_release_with_a_wrong_parameter_is_422_and_nothing_is_given_up(api: Api, query: str) -> None:
    done(api.engine)
    answer = api.call("DELETE", f"/v1/numbers/0280740801?{query}")

    assert answer.status_code == 422
    assert [error["parameter"] for error in (answer.json or {})["errors"]] == [query.partition("=")[0]]
    assert [request.kind for request in api.requests()] == [Kind.PROVISION]


@pytest.mark.parametrize("key", ["", "x" * 256, "\x07", "\xe9"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_under_an_idempotency_key_that_is_none_is_422(api: Api, method: str, key: str) -> None:
    done(api.engine)
    sent: dict[str, Any] | None = {"spec": {}} if method == "PATCH" else None
    answer = api.call(method, "/v1/numbers/0280740801", json=sent, headers={"Idempotency-Key": key})

    assert answer.status_code == 422
    assert [error["parameter"] for error in (answer.json or {})["errors"]] == ["Idempotency-Key"]
    assert [request.kind for request in api.requests()] == [Kind.PROVISION]


@pytest.mark.parametrize(
    ("raw", "media_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"spec": {}, "spec": {}}', "application/json", 400),
        (b"[]", "application/json", 422),
        (b'{"custom_id": "\\u0000"}', "application/json", 422),
        (b'{"custom_group": "\\ud800"}', "application/json", 422),
        (b'{"\\ud800": 1}', "application/json", 422),
        (b"{}", "text/plain", 415),
        (b"{}", None, 415),
        (b'{"spec": {"name": "' + b"x" * 1_048_576 + b'"}}', "application/json", 413),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_change_that_cannot_be_read_changes_nothing(
    api: Api, raw: bytes, media_type: str | None, status: int
) -> None:
    done(api.engine)
    answer = api.call("PATCH", "/v1/numbers/0280740801", data=raw, media_type=media_type)

    assert answer.status_code == status
    assert [request.kind for request in api.requests()] == [Kind.PROVISION]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({}, "/outcome"),
        ({"outcome": "lost"}, "/outcome"),
        ({"outcome": "failed", "number": "0280740801"}, "/number"),
        ({"outcome": "failed", "note": "x" * 3_000}, "/note"),
        ({"outcome": "failed", "surprise": 1}, "/surprise"),
    ],
)
def test_a_resolution_that_is_none_is_422(api: Api, change: dict[str, Any], pointer: str) -> None:
    made = api.post("/v1/requests", json=BODY).json
    assert made is not None
    answer = api.post(f"/v1/requests/{made['id']}/resolve", json=change)

    assert (answer.status_code, places(answer)) == (422, [(pointer,)])
    assert api.get(f"/v1/requests/{made['id']}").json == made


GOOD = [row(f"c{number}") for number in range(3)]


@pytest.mark.parametrize(
    ("raw", "line", "field"),
    [
        (b"", 1, None),
        (csv_file([]), 1, None),
        (csv_file(GOOD, columns=COLUMNS.replace("upstream", "stream")), 1, "stream"),
        (csv_file(GOOD, columns=COLUMNS.replace("custom_id", "upstream")), 1, "upstream"),
        (csv_file([one.partition(",")[2] for one in GOOD], columns=COLUMNS.partition(",")[2]), 1, "upstream"),
        (csv_file([*GOOD, row("d")[:-11]]), 5, "spec.service.answer_point"),
        (csv_file([*GOOD, row("d") + ",more"]), 5, None),
        (csv_file([*GOOD, "avanser,d"]), 5, None),
        (csv_file([*GOOD, row("d", "nobody")]), 5, "upstream"),
        (csv_file([*GOOD, row("c1")]), 5, "custom_id"),
        (csv_file([*GOOD, row('"d')]), 5, None),
        (csv_file([*GOOD, row("d")]).replace(b",d,", b",\xff,"), 5, None),
        (csv_file([*GOOD, row("a\0b")]), 5, None),
        (csv_file(GOOD).decode().encode("utf-16"), 1, None),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_bad_csv_is_422_with_line_and_field_and_nothing_of_it_is_taken(
    api: Api, raw: bytes, line: int, field: str | None
) -> None:
    answer = send_file(api, raw)

    assert (answer.status_code, (answer.json or {})["code"]) == (422, "bad_rows")
    assert (line, field) in places(answer)
    api.assert_nothing_was_taken()


@pytest.mark.parametrize(
    ("lines", "line", "field"),
    [
        (["{"], 2, None),
        (["[]"], 2, None),
        (['{"upstream": NaN}'], 2, None),
        ([json.dumps(BODY | {"upstream": "nobody"})], 2, "upstream"),
        ([json.dumps(BODY | {"surprise": 1})], 2, "surprise"),
        ([json.dumps(BODY | {"custom_id": "\0"})], 2, "custom_id"),
        (["", json.dumps(BODY)], 3, "custom_id"),
        (["[" * DEEP], 2, None),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_bad_ndjson_is_422_with_line_and_field_and_nothing_of_it_is_taken(
    api: Api, lines: list[str], line: int, field: str | None
) -> None:
    raw = "\n".join([json.dumps(BODY), *lines, ""]).encode()

    answer = send_file(api, raw, "application/x-ndjson")

    assert answer.status_code == 422
    assert (line, field) in places(answer)
    api.assert_nothing_was_taken()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'[{"upstream": "avanser"}', 400),
        (b"\xff", 400),
        (b"[" * DEEP, 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"requests": []}', 422),
        (b'{"requests": 7}', 422),
        (b"7", 422),
        (json.dumps([BODY, BODY]).encode(), 422),
        (json.dumps([BODY, BODY | {"custom_id": "b", "kind": "buy"}]).encode(), 422),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_bad_json_batch_is_refused_whole(api: Api, raw: bytes, status: int) -> None:
    answer = send_file(api, raw, "application/json")

    assert answer.status_code == status
    assert places(answer)
    api.assert_nothing_was_taken()


def test_one_bad_row_among_ten_thousand_is_found_and_nothing_is_taken(api: Api) -> None:
    rows = [row(f"c{number}") for number in range(10_000)]
    rows[6_999] = row("c6999", "nobody")

    answer = send_file(api, csv_file(rows))

    assert (answer.status_code, places(answer)) == (422, [(7_001, "upstream")])
    assert ((answer.json or {})["bad"], (answer.json or {})["total"]) == (1, 10_000)
    api.assert_nothing_was_taken()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_and_either_line_end_are_no_fault(api: Api, mark: bytes, end: str) -> None:
    answer = send_file(api, mark + csv_file(GOOD, end))

    assert (answer.status_code, (answer.json or {})["total"]) == (202, 3)


def test_a_file_of_a_gigabyte_is_refused_unread(api: Api) -> None:
    answer = api.post(
        "/v1/batches",
        data=b"upstream",
        media_type="text/csv",
        environ_overrides={"CONTENT_LENGTH": str(1 << 30)},
    )

    assert (answer.status_code, (answer.json or {})["code"]) == (413, "too_large")
    api.assert_nothing_was_taken()


def test_without_the_right_key_nothing_is_taken(api: Api) -> None:
    reader = api.make_key(Scope.READ)
    answers = [api.post("/v1/requests", json=BODY, key=key) for key in (None, "tk_wrong", reader)]

    assert [answer.status_code for answer in answers] == [401, 401, 403]
    api.assert_nothing_was_taken()


@pytest.mark.parametrize(("method", "path", "status"), [("PUT", "/v1/requests", 405), ("GET", "/v2", 404)])
def test_the_frameworks_own_errors_have_our_form(api: Api, method: str, path: str, status: int) -> None:
    answer = api.call(method, path)

    assert answer.status_code == status
    assert (answer.json or {})["code"] in ("method_not_allowed", "not_found")
    assert (status == 405) == ("Allow" in answer.headers)


def test_a_number_of_somebody_else_can_be_neither_changed_nor_given_up(api: Api) -> None:
    make_requester(api.engine, "other")
    answer = send(api, json.dumps({"upstream": "avanser", "kind": "release", "number": "junk"}).encode())

    assert (answer.status_code, places(answer)) == (422, [("/number",)])
    api.assert_nothing_was_taken()
