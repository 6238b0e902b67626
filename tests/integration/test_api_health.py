"""Health, figures and documentation."""

import re
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import upstream
from models.base import write
from models.inbox import Purpose
from models.requester import Scope
from models.state import State
from models.transition import Move, transition
from tests.factory import NOW, make_requests
from tests.receiver import NO_BROKER, Api, declared, receiver, settings_for
from worker.embedded import EmbeddedBroker


def test_healthz_needs_nothing(monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path) -> None:
    away = settings_for(monkeypatch, "postgresql+psycopg://nobody:secret@127.0.0.1:1/none", str(tmp_path))
    with receiver(away, engine) as api:
        assert api.get("/healthz", key=None).json == {"status": "ok"}


def test_without_the_broker_requests_are_still_taken_and_it_says_so(api: Api) -> None:
    answer = api.get("/readyz", key=None)

    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["checks"]["database"]["ok"]
    assert not answer.json["checks"]["broker"]["ok"]


def test_what_is_paused_is_shown_and_makes_nothing_unready(api: Api) -> None:
    def work(session: Session) -> None:
        upstream.pause(session, upstream.ALL, "by_person", "the price is wrong", "ann", NOW)

    write(api.engine, work)
    answer = api.get("/readyz", key=None)
    assert (answer.status_code, (answer.json or {})["paused"]) == (200, ["avanser", "telmetrics", "messagemedia"])
    assert (
        'trunkline_upstream_paused{upstream="telmetrics"} 1.0' in api.get("/metrics", key=api.make_key(Scope.READ)).text
    )


def test_with_all_there_it_is_ready(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str, tmp_path: Path, broker: EmbeddedBroker, engine: Engine
) -> None:
    settings = settings_for(monkeypatch, sqlite_url, str(tmp_path), TRUNKLINE_BROKER_URL=broker.broker_url)
    with receiver(settings, engine) as api:
        checks = (api.get("/readyz", key=None).json or {})["checks"]
    assert {name: check["ok"] for name, check in checks.items()} == {"database": True, "broker": True}


def test_a_database_that_is_away_makes_it_not_ready_and_gives_nothing_away(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path
) -> None:
    away = settings_for(monkeypatch, "postgresql+psycopg://nobody:secret@127.0.0.1:1/none", str(tmp_path))
    with receiver(away, engine) as api:
        answer = api.get("/readyz", key=None)

    assert (answer.status_code, (answer.json or {})["code"]) == (503, "not_ready")
    assert "database" in (answer.json or {})["detail"]
    assert not any(word in answer.text for word in ("nobody", "secret", "127.0.0.1", NO_BROKER))


def test_a_database_without_tables_makes_it_not_ready(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path
) -> None:
    empty = settings_for(monkeypatch, f"sqlite:///{tmp_path / 'empty.sqlite'}", str(tmp_path))
    with receiver(empty, engine) as api:
        answer = api.get("/readyz", key=None)

    assert answer.status_code == 503
    assert "trunkline migrate" in (answer.json or {})["detail"]


def test_the_figures_are_those_of_the_rows(api: Api) -> None:
    ids = make_requests(api.engine, 3)
    moves = [Move(ids[0], State.FAILED, "test"), Move(ids[0], State.COMPLETED, "late news")]
    write(api.engine, lambda session: transition(session, moves, NOW))
    api.post(f"/callbacks/avanser/{api.token(Purpose.CALLBACK)}", data=b"x")

    figures = dict(
        line.rsplit(" ", 1)
        for line in api.get("/metrics", key=api.make_key(Scope.READ)).text.splitlines()
        if not line.startswith("#")
    )

    assert float(figures['trunkline_requests{state="queued",upstream="avanser"}']) == 2
    assert float(figures['trunkline_requests{state="failed",upstream="avanser"}']) == 1
    assert float(figures['trunkline_due{what="requests:avanser"}']) == 2
    assert float(figures['trunkline_due{what="inbox"}']) == 1
    assert float(figures['trunkline_troubles{what="contradicted_requests"}']) == 1
    assert float(figures["trunkline_deliveries_pending"]) == 0


def test_http_is_counted_by_template_and_never_by_path(api: Api) -> None:
    token = api.token()
    api.post(f"/callbacks/avanser/{token}")
    api.get(f"/v1/requests/{make_requests(api.engine)[0]}")
    api.get("/a/path/of/somebody")

    text = api.get("/metrics").text

    labels = 'method="POST",route="/callbacks/<upstream>/<token>",status="200"'
    assert f"trunkline_http_request_seconds_count{{{labels}}} 1.0" in text
    assert 'route="/v1/requests/<uuid:request_id>"' in text
    assert 'route="none",status="404"' in text
    assert token not in text
    assert "somebody" not in text


def test_the_document_has_every_route_of_the_api_and_every_reference_leads_somewhere(api: Api) -> None:
    document = api.get("/openapi.json").json

    assert document is not None
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(one.method, re.sub(r"<(?:uuid:)?(\w+)>", r"{\1}", one.path)) for one in declared()}
    names = {target.rpartition("/")[2] for target in re.findall(r'"\$ref": ?"([^"]+)"', api.get("/openapi.json").text)}
    assert names == set(document["components"]["schemas"])
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    assert all(one["summary"] for one in operations)
    assert len({one["operationId"] for one in operations}) == len(operations)


def test_the_documents_form_of_a_request_is_the_one_that_is_checked(api: Api) -> None:
    document = api.get("/openapi.json").json
    assert document is not None
    schema = document["components"]["schemas"]["RequestBody"]
    assert schema["additionalProperties"] is False

    answer = api.post("/v1/requests", json={name: [] for name in schema["properties"]})

    wrong = {error["pointer"].removeprefix("/").split("/")[0] for error in (answer.json or {})["errors"]}
    assert wrong == set(schema["properties"])


def test_the_page_loads_nothing_from_elsewhere(api: Api) -> None:
    page = api.get("/docs")

    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert all(link.startswith(("/docs/assets/", "/openapi.json", "data:")) for link in links)
    assert not re.search(r"<script(?![^>]*src=)", page.text)
    for link in links:
        if link.startswith("/docs"):
            asset = api.get(link, key=None)
            assert (asset.status_code, len(asset.data) > 100) == (200, True)
    assert api.get("/docs/assets/..%2Fdocs.py", key=None).status_code == 404
