"""With every library as talkative as it can be, no log holds a secret, a token or a caller's number."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.base import make_engine
from models.delivery import Delivery
from models.inbox import Purpose
from tests.catcher import Catcher
from tests.factory import KEYRING, make_endpoint, make_requester
from tests.holding import ask, complete
from tests.receiver import Api, receiver
from tests.working import ScriptedUpstream, every, working
from worker.deliver import deliver
from worker.inbox import read_inbox
from worker.logs import set_up_logging
from worker.loop import Loop
from worker.settings import LogLevel

CALLER, TEXT, HOOK = "61400098765", "canary-text-of-a-message", "canary-path-of-a-hook"

LIBRARIES = (
    "aiohttp", "amqp", "asyncio", "celery", "flask", "granian", "httpcore", "httpx", "kombu", "psycopg", "redis",
    "sqlalchemy", "urllib3", "werkzeug",
)  # fmt: skip


@pytest.fixture
def talkative() -> Iterator[None]:
    """All at DEBUG, and then the one call that each of our processes makes."""
    before = {name: logging.getLogger(name).level for name in [None, *logging.root.manager.loggerDict, *LIBRARIES]}
    for name in (None, *LIBRARIES):
        logging.getLogger(name).setLevel(logging.DEBUG)
    set_up_logging(LogLevel.DEBUG)
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_no_log_holds_a_secret_a_token_or_a_callers_number(
    talkative: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    database_url: str,
    tmp_path: Path,
    loop: Loop,
) -> None:
    caplog.handler.setLevel(logging.DEBUG)
    engine, client = make_engine(database_url, keyring=KEYRING), ScriptedUpstream()
    with (
        Catcher(500, 204) as crm,
        working(monkeypatch, engine, str(tmp_path), loop, client, TRUNKLINE_ACCESS_LOG="true") as runtime,
        receiver(runtime.settings, engine) as api,
    ):
        place = make_endpoint(engine, make_requester(engine), f"{crm.url}/{HOOK}?key={HOOK}")
        id_ = ask(engine)
        complete(engine, id_)
        tokens = [api.token(purpose, of=id_) for purpose in (Purpose.CALL, Purpose.SMS, Purpose.CALLBACK)]
        _send_all_that_comes(api, tokens)
        assert read_inbox(runtime) is False
        deliver(runtime)
        api.app.extensions["trunkline"].key_uses.write()
        secrets = [CALLER, TEXT, HOOK, str(place.secret).removeprefix("whsec_"), api.key, *tokens]
        secrets += [key.get_secret_value() for key in runtime.settings.secret_keys]
        assert {row.last_status for row in every(engine, Delivery)} == {500, 204}
    engine.dispose()
    assert "webhook_receiver.access_log" in {one.name for one in caplog.records}
    assert [secret for secret in secrets if secret in caplog.text] == []


def _send_all_that_comes(api: Api, tokens: list[str]) -> None:
    call, sms, callback = tokens
    event = f"ani={CALLER}&callid=1&target={CALLER}"
    form = "application/x-www-form-urlencoded"
    for path, status in ((f"/calls/avanser/{call}", 200), (f"/calls/avanser/{call[:-4]}AAAA", 404)):
        assert api.call("GET", f"{path}?{event}", key=None).status_code == status
        assert api.post(path, data=f"{event}&b=2".encode(), media_type=form, key=None).status_code == status
        broken = ("{" + f'"ani": "{CALLER}"').encode()
        assert api.post(path, data=broken, media_type="application/json", key=None).status_code == status
    api.post(f"/sms/avanser/{sms}", json={"from": CALLER, "text": TEXT, "message": TEXT}, key=None)
    api.post(f"/callbacks/avanser/{callback}", json={"ani": CALLER, "text": TEXT}, key=None)
    api.get(f"/v1/calls?number={CALLER}")
    api.get("/v1/requests", key=api.key[:-1])
