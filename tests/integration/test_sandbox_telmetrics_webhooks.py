"""What the simulated Telmetrics sends to the addresses of its portal."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

import httpx

from tests.catcher import Catcher
from tests.sandbox import SandboxServer, eventually


def buy(sandbox: SandboxServer, **fields: Any) -> dict[str, Any]:
    body = {
        "name": "A",
        "phone_number_request": {
            "match_type": "localtonumber",
            "local_to_number": "9056372046",
            "number_match_filter": "289",
        },
        "call_routes": {"route_type": "Basic", "route": {"termination_number": "4165551234"}},
    }
    with sandbox.telmetrics() as telmetrics:
        number: dict[str, Any] = telmetrics.post("/groups/7/numbers", json={**body, **fields}).json()
    return number


def webhooks(catcher: Catcher) -> list[dict[str, Any]]:
    assert {caught.headers["Content-Type"] for caught in catcher.caught} <= {"application/json"}
    return [json.loads(caught.body) for caught in catcher.caught]


def test_a_call_is_posted_to_the_portals_address_with_the_vendors_fields(
    sandbox: SandboxServer, catcher: Catcher
) -> None:
    number = buy(sandbox)
    sandbox.portal("telmetrics", calls=f"{catcher.url}/calls?x=1")
    told = sandbox.call("2898122093", upstream="telmetrics", CallerNumber="6475550123")
    assert (told["status"], told["uri"]) == (204, f"{catcher.url}/calls?x=1")
    assert [(caught.method, caught.path) for caught in catcher.caught] == [("POST", "/calls?x=1")]
    (body,) = webhooks(catcher)
    assert list(body) == ["Id", "Attempt", "Properties", "Notifications"]
    assert re.fullmatch(r"[0-9a-f]{32}", body["Id"])
    assert body["Attempt"] == 1
    sent_at = datetime.fromisoformat(body["Properties"].pop("UTC"))
    assert re.fullmatch(r"[0-9a-f-]{36}", body["Properties"].pop("RequestId"))
    assert body["Properties"] == {"CollectionType": "CallDetails", "Organization": "4062"}
    (call,) = body["Notifications"]
    started, answered, ended = (datetime.fromisoformat(call.pop(f"{what}Time")) for what in ("Start", "Answer", "End"))
    assert started < answered < ended == sent_at.replace(microsecond=0) - timedelta(hours=5)
    assert call == {
        "Action": "CallDetails.CallPreprocessed",
        "OrganizationId": 4062,
        "Incomplete": True,
        "TelmetricsId": 2079571437,
        "TelmetricsStudyID": number["id"],
        "CalledNumber": "2898122093",
        "TerminationNumber": "4165551234",
        "CallerNumber": "6475550123",
        "AnswerStatus": "answered",
        "RingDuration": 2,
        "CallDuration": 7,
    }


def test_several_calls_come_in_one_webhook(sandbox: SandboxServer, catcher: Catcher) -> None:
    buy(sandbox)
    sandbox.portal("telmetrics", calls=f"{catcher.url}/calls")
    calls = [{"TelmetricsId": 1}, {"TelmetricsId": 2, "CalledNumber": "8005550100"}]
    sandbox.call("2898122093", upstream="telmetrics", calls=calls)
    (body,) = webhooks(catcher)
    seen = [(call["TelmetricsId"], call["CalledNumber"]) for call in body["Notifications"]]
    assert seen == [(1, "2898122093"), (2, "8005550100")]


def test_a_webhook_is_repeated_until_it_is_taken_and_counts_its_attempts(sandbox: SandboxServer) -> None:
    buy(sandbox)
    sandbox.script(callback={"backoff": 0.05})
    with Catcher(500, 302, 204) as catcher:
        sandbox.portal("telmetrics", calls=f"{catcher.url}/calls")
        assert sandbox.call("2898122093", upstream="telmetrics")["status"] == 500
        eventually(lambda: len(catcher.caught) == 3)
        bodies = webhooks(catcher)
    assert [body["Attempt"] for body in bodies] == [1, 2, 3]
    assert len({body["Id"] for body in bodies}) == 1
    assert len({body["Properties"]["RequestId"] for body in bodies}) == 3
    assert bodies[0]["Notifications"] == bodies[2]["Notifications"]


def test_a_message_goes_to_the_portals_address_or_to_the_numbers_own(sandbox: SandboxServer, catcher: Catcher) -> None:
    buy(sandbox)
    own = {"route_type": "Webhook", "route": {"inbound_webhook_url": f"{catcher.url}/own"}}
    second = buy(sandbox, sms_routes=own)
    assert second["sms_routes"] == own
    sandbox.portal("telmetrics", messages=f"{catcher.url}/messages")
    sandbox.message("2898122093", upstream="telmetrics", TexterNumber="6475550123")
    sandbox.message(second["phone_number"], upstream="telmetrics")
    assert [caught.path for caught in catcher.caught] == ["/messages", "/own"]
    body = webhooks(catcher)[0]
    assert body["Properties"]["CollectionType"] == "SmsDetails"
    (message,) = body["Notifications"]
    assert (message["Action"], message["TexterNumber"], message["TextedNumber"]) == (
        "SmsDetails.SmsConversationStart",
        "6475550123",
        "2898122093",
    )


def test_nothing_is_reported_without_a_number_or_an_address(sandbox: SandboxServer, catcher: Catcher) -> None:
    def refusal(event: str, number: str) -> str:
        answer = httpx.post(f"{sandbox.url}/_sandbox/{event}", json={"upstream": "telmetrics", "number": number})
        assert answer.status_code == 409
        detail: str = answer.json()["errors"][0]["detail"]
        return detail

    number = buy(sandbox)
    assert "portal" in refusal("calls", "2898122093")
    sandbox.portal("telmetrics", calls=f"{catcher.url}/calls")
    assert "portal" in refusal("messages", "2898122093"), "what is left out is reported nowhere"
    assert "2898122094" in refusal("calls", "2898122094")
    with sandbox.telmetrics() as telmetrics:
        telmetrics.delete(f"/numbers/{number['id']}")
    assert "2898122093" in refusal("calls", "2898122093")
    assert catcher.caught == []


def test_the_portal_shows_and_forgets_its_addresses(sandbox: SandboxServer) -> None:
    address = f"{sandbox.url}/_sandbox/portal"
    sandbox.portal("telmetrics", calls="https://here.example/calls")
    assert httpx.get(f"{address}/telmetrics").json() == {"calls": "https://here.example/calls", "messages": ""}
    assert httpx.get(f"{address}/avanser").json() == {"calls": "", "messages": ""}
    assert httpx.put(f"{address}/telmetrics", json={"calls": "here"}).status_code == 400
    assert httpx.put(f"{address}/nobody", json={}).status_code == 404
    sandbox.reset()
    assert httpx.get(f"{address}/telmetrics").json() == {"calls": "", "messages": ""}
