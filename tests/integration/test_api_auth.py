"""Keys: without one, with a wrong one, with one that may not."""

from base64 import b64encode

import pytest
import sqlalchemy as sa

from models.base import utc_now, write
from models.requester import ApiKey, Scope, revoke_key
from tests.receiver import Api, declared
from webhook_receiver.operations import Operation

GUARDED = [operation for operation in declared() if not operation.is_public]
NAMES = [operation.name for operation in GUARDED]


def path_of(operation: Operation) -> str:
    ids = {"request_id", "batch_id", "endpoint_id", "delivery_id"}
    path = operation.path
    for name in ids:
        path = path.replace(f"<uuid:{name}>", "01a20000-0000-7000-8000-000000000000")
    return path


def test_the_routes_without_a_key_are_these_and_no_others(api: Api) -> None:
    """The console's pages stand elsewhere: people sign in to them (tests/integration/test_console_sign_in.py)."""
    public = {operation.path for operation in declared() if operation.is_public}
    rules = [rule for rule in api.app.url_map.iter_rules() if not rule.endpoint.startswith("console.")]
    undeclared = {rule.rule for rule in rules} - {operation.path for operation in declared()}

    assert public == {"/healthz", "/readyz"}
    assert undeclared == {
        "/callbacks/<upstream>/<token>",
        "/calls/<upstream>/<token>",
        "/sms/<upstream>/<token>",
        "/docs/assets/<name>",
    }


@pytest.mark.parametrize("operation", GUARDED, ids=NAMES)
def test_no_key_and_a_wrong_key_get_401(api: Api, operation: Operation) -> None:
    for key, code in ((None, "key_missing"), ("tk_wrong", "key_wrong"), ("\xe9", "key_wrong")):
        answer = api.call(operation.method, path_of(operation), key=key)

        assert (answer.status_code, answer.json and answer.json["code"]) == (401, code)
        assert answer.headers["WWW-Authenticate"].startswith("Basic" if operation.for_browsers else "Bearer")


@pytest.mark.parametrize("operation", [one for one in GUARDED if one.scope], ids=lambda one: str(one.name))
def test_a_key_without_the_scope_gets_403(api: Api, operation: Operation) -> None:
    key = api.make_key(*(scope for scope in Scope if scope != operation.scope))

    answer = api.call(operation.method, path_of(operation), key=key)

    assert (answer.status_code, answer.json and answer.json["code"]) == (403, "scope_missing")
    assert f"`{operation.scope}`" in (answer.json or {})["detail"]


def test_a_revoked_key_is_closed_at_once(api: Api) -> None:
    key = api.make_key(Scope.READ)
    assert api.get("/v1/requests", key=key).status_code == 200
    now = utc_now()
    write(api.engine, lambda s: [revoke_key(s, one, now) for one in s.scalars(sa.select(ApiKey.id)).all()])

    assert api.get("/v1/requests", key=key).status_code == 401


@pytest.mark.parametrize("sent", ["Bearer", "Bearer ", "bearer", "Digest abc", "Basic abc", "Basic !!!", ""])
def test_another_way_to_send_a_key_is_none(api: Api, sent: str) -> None:
    assert api.get("/v1/requests", key=None, headers={"Authorization": sent}).status_code == 401


def test_a_password_opens_what_a_browser_reads_and_nothing_that_changes_anything(api: Api) -> None:
    password = {"Authorization": "Basic " + b64encode(f"me:{api.key}".encode()).decode()}

    opened = {
        one.path for one in GUARDED if api.call(one.method, path_of(one), key=None, headers=password).status_code != 401
    }

    assert opened == {"/docs", "/openapi.json", "/metrics"}
