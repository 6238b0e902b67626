"""`trunkline numbers`, `calls`, `messages` and `stock`; what an upstream says is ours, and where it is to tell us."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from models import call, message
from models.base import new_id, read, utc_now, write
from models.inbox import Purpose
from models.request import Kind, Request
from models.state import State
from models.transition import Move, transition
from tests.factory import NOW, SECRET_KEY, SPEC, fetch, make_requester
from tests.holding import PERTH, SYDNEY, ask, complete, done
from tests.integration.cli import Cli, cli, embedded, environment
from tests.sandbox import ACCOUNT, PASSWORD, USERNAME, SandboxServer
from worker.signing import PORTAL, Tokens

__all__ = ["cli", "embedded", "environment"]

CHANGE = {"spec": {"service": {"type": "transfer", "answer_point": "61132307"}}}


def requests(cli: Cli) -> list[Request]:
    return read(cli.engine, lambda session: list(session.scalars(sa.select(Request).order_by(Request.id))))


def table(cli: Cli, *words: object) -> list[dict[str, str]]:
    """What a pipe gets: a line a row, under its header."""
    header, *rows = [line.split("\t") for line in cli.run(*words).stdout.splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


# Numbers


def test_numbers_are_listed_with_whose_they_are(cli: Cli) -> None:
    done(cli.engine, custom_id="dealer-17")
    done(cli.engine, requester="crm", number=PERTH)
    shown = cli.json("numbers", "list")
    assert [(one["number"], one["requester"], one["custom_id"]) for one in shown["data"]] == [
        (PERTH, "crm", None),
        (SYDNEY, "default", "dealer-17"),
    ]
    assert shown["next_cursor"] is None
    assert [row["number"] for row in table(cli, "numbers", "list")] == [PERTH, SYDNEY]


def test_the_list_is_narrowed(cli: Cli) -> None:
    done(cli.engine, custom_id="dealer-17")
    done(cli.engine, requester="crm", number=PERTH, upstream="telmetrics")
    done(cli.engine, number="+61299990000")
    done(cli.engine, Kind.RELEASE, number="+61299990000")

    def found(*words: str) -> list[str]:
        return [one["number"] for one in cli.json("numbers", "list", *words)["data"]]

    assert found("0280740801") == found("dealer-17") == found("--requester", "default") == [SYDNEY]
    assert found("--upstream", "telmetrics") == found("--requester", "crm") == [PERTH]
    assert found("--released") == found("--all", "0299990000") == ["+61299990000"]
    assert found("--all") == ["+61299990000", PERTH, SYDNEY]
    assert found("0299990000") == []
    for words in (["--upstream", "nobody"], ["--requester", "nobody"], ["--cursor", "x"], ["--limit", "0"]):
        cli.run("numbers", "list", *words, status=2)


def test_the_list_pages(cli: Cli) -> None:
    wanted = [f"+612807400{place:02}" for place in range(5)]
    for number in wanted:
        done(cli.engine, number=number)
    first = cli.json("numbers", "list", "--limit", 3)
    second = cli.json("numbers", "list", "--limit", 3, "--cursor", first["next_cursor"])
    assert [one["number"] for page in (first, second) for one in page["data"]] == wanted[::-1]
    assert second["next_cursor"] is None
    assert first["next_cursor"] in cli.run("numbers", "list", "--limit", 3).stderr


def test_an_empty_inventory_is_an_empty_list(embedded: Cli) -> None:
    assert embedded.json("numbers", "list") == {"data": [], "next_cursor": None}


def test_a_number_is_shown_by_any_of_its_names(cli: Cli) -> None:
    request_id = ask(cli.engine, custom_id="dealer-17")
    complete(cli.engine, request_id, upstream_reference="ref-1")
    done(cli.engine, number=PERTH)
    shown = cli.json("numbers", "show", SYDNEY)
    assert (shown["request"], shown["requester"], shown["configuration"]) == (str(request_id), "default", SPEC)
    names = ["0280740801", "+61-0280740801", "02 8074 0801", "dealer-17", "ref-1", request_id, shown["id"]]
    for name in names:
        assert cli.json("numbers", "show", name) == shown
    said = cli.run("numbers", "show", "0280740801").stdout
    assert SYDNEY in said
    assert "sydney" in said


def test_a_number_that_nobody_holds_is_refused_with_what_can_be_done(cli: Cli) -> None:
    for words in (["show", "0280740801"], ["update", "0280740801", "{}"], ["release", "0280740801"]):
        said = cli.run("numbers", *words, status=2).stderr
        assert "'0280740801'" in said
        assert "trunkline request" in said


def test_a_name_that_several_numbers_have_lists_them(cli: Cli) -> None:
    done(cli.engine, custom_id="twice")
    done(cli.engine, requester="crm", number=PERTH, custom_id="twice")
    said = cli.run("numbers", "show", "twice", status=2).stderr
    for one in cli.json("numbers", "list")["data"]:
        assert all(part in said for part in (one["id"], one["number"], one["requester"]))
    cli.run("numbers", "release", "twice", status=2)
    assert len(requests(cli)) == 2


# Changing and giving up


def test_a_change_is_an_update_request_of_the_numbers_requester(cli: Cli) -> None:
    done(cli.engine, requester="crm")
    made = cli.json("numbers", "update", "0280740801", json.dumps(CHANGE | {"custom_id": "a"}))
    assert (made["kind"], made["state"], made["number"], made["spec"]) == ("update", "queued", SYDNEY, CHANGE["spec"])
    row = fetch(cli.engine, UUID(made["id"]))
    assert (row.requester_id, row.custom_id) == (make_requester(cli.engine, "crm").id, "a")


def test_a_change_may_come_from_a_file_or_standard_input_and_once_for_a_key(cli: Cli) -> None:
    done(cli.engine)
    (cli.folder / "change.json").write_text(json.dumps(CHANGE))
    words = ("--idempotency-key", "once", "--json")
    first = cli.run("numbers", "update", SYDNEY, f"@{cli.folder / 'change.json'}", *words).stdout
    again = cli.run("numbers", "update", SYDNEY, "-", *words, stdin=json.dumps(CHANGE)).stdout
    assert first == again
    assert "another body" in cli.run("numbers", "update", SYDNEY, "{}", *words, status=2).stderr
    assert len(requests(cli)) == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"spec": {"surprise": 1}}', "/spec/surprise"),
        ('{"kind": "release"}', "/kind"),
        ('{"custom_ids": "a"}', "did you mean custom_id"),
        ("[]", "a JSON object"),
        ("{", "not JSON"),
        ("@nowhere.json", "nowhere.json"),
    ],
)
def test_a_change_that_is_wrong_is_refused(cli: Cli, body: str, said: str) -> None:
    done(cli.engine)
    assert said in cli.run("numbers", "update", SYDNEY, body, status=2).output
    assert len(requests(cli)) == 1


def test_a_release_waits_says_until_when_and_how_it_is_withdrawn(cli: Cli) -> None:
    done(cli.engine)
    said = cli.run("numbers", "release", "0280740801").stdout
    release = requests(cli)[-1]
    assert release.due_at is not None
    assert timedelta(minutes=59) < release.due_at - utc_now() <= timedelta(hours=1)
    assert f"{release.due_at:%Y-%m-%d %H:%M:%S} UTC" in said
    assert f"trunkline cancel {release.id}" in said
    assert cli.json("cancel", release.id)["state"] == "cancelled"


def test_a_release_is_asked_for_once_and_may_be_hastened(cli: Cli) -> None:
    done(cli.engine)
    first = cli.json("numbers", "release", SYDNEY)
    assert cli.json("numbers", "release", SYDNEY) == first
    assert "Taken before" in cli.run("numbers", "release", SYDNEY).stdout
    hastened = cli.json("numbers", "release", SYDNEY, "--now")
    assert hastened["id"] == first["id"]
    assert datetime.fromisoformat(hastened["due_at"]) <= utc_now()
    assert "trunkline cancel" not in cli.run("numbers", "release", SYDNEY, "--now").stdout


def test_a_number_that_was_given_up_is_shown_and_neither_changed_nor_given_up_again(cli: Cli) -> None:
    done(cli.engine)
    release = done(cli.engine, Kind.RELEASE)
    assert cli.json("numbers", "show", SYDNEY)["released_by"] == str(release)
    for words in (["update", SYDNEY, "{}"], ["release", SYDNEY]):
        assert str(release) in cli.run("numbers", *words, status=1).stderr
    assert len(requests(cli)) == 2


def test_a_number_whose_release_has_been_sent_is_not_changed(cli: Cli) -> None:
    done(cli.engine)
    release = ask(cli.engine, Kind.RELEASE)
    write(cli.engine, lambda session: transition(session, [Move(release, State.ACCEPTED, "test")], NOW))
    assert str(release) in cli.run("numbers", "update", SYDNEY, "{}", status=1).stderr


# Calls and messages


def keep(cli: Cli, what: str, reference: str, number: str, received_at: datetime, requester: str = "default") -> None:
    row: dict[str, Any] = {
        "id": new_id(),
        "upstream": "messagemedia",
        "upstream_reference": reference,
        "request_id": new_id(),
        "requester_id": make_requester(cli.engine, requester).id,
        "number": number,
        "parameters": {},
        "received_at": received_at,
    }
    module = call if what == "calls" else message
    write(cli.engine, lambda session: module.keep(session, row))


@pytest.mark.parametrize("what", ["calls", "messages"])
def test_what_happened_on_numbers_is_listed_the_last_first(cli: Cli, what: str) -> None:
    now = utc_now()
    keep(cli, what, "1", SYDNEY, now - timedelta(hours=2))
    keep(cli, what, "2", PERTH, now - timedelta(hours=1), "crm")
    keep(cli, what, "3", SYDNEY, now)

    def found(*words: object) -> list[str]:
        return [one["upstream_reference"] for one in cli.json(what, *words)["data"]]

    assert found() == ["3", "2", "1"]
    assert found("--number", "02 8074 0801") == found("--requester", "default") == ["3", "1"]
    assert found("--number", "+61-0861234567") == found("--requester", "crm") == ["2"]
    assert found("--since", (now - timedelta(hours=1)).isoformat()) == ["3", "2"]
    assert found("--since", "9999-12-31T23:59:59Z") == []
    first = cli.json(what, "--limit", 2)
    assert found("--limit", 2, "--cursor", first["next_cursor"]) == ["1"]
    assert [row["number"] for row in table(cli, what)] == [SYDNEY, PERTH, SYDNEY]
    assert first["next_cursor"] in cli.run(what, "--limit", 2).stderr


@pytest.mark.parametrize("what", ["calls", "messages"])
@pytest.mark.parametrize(
    "words",
    [
        ["--number", "none"],
        ["--since", "yesterday"],
        ["--since", "2026-01-01T00:00:00"],
        ["--since", "0001-01-01T00:00:00+14:00"],
        ["--cursor", "x"],
        ["--requester", "nobody"],
        ["--limit", "0"],
    ],
)
def test_a_filter_that_means_nothing_is_refused(cli: Cli, what: str, words: list[str]) -> None:
    assert cli.run(what, *words, status=2).stderr


# Upstreams


@pytest.fixture
def simulated(cli: Cli, monkeypatch: pytest.MonkeyPatch, sandbox: SandboxServer) -> Cli:
    """With AVANSER's sandbox for an upstream, as it was before anybody bought there."""
    account = {"USERNAME": USERNAME, "PASSWORD": PASSWORD, "ACCOUNT_ID": ACCOUNT, "URL": sandbox.avanser_url}
    for name, value in account.items():
        monkeypatch.setenv(f"TRUNKLINE_AVANSER_{name}", value)
    return cli


def test_stock_is_listed_in_one_form(simulated: Cli) -> None:
    shown = simulated.json("stock", "avanser", "country=AU", "szu=sydney")
    assert shown["next_cursor"] is None
    assert {"number", "country", "region", "type", "pool", "classification", "capabilities"} == set(shown["data"][0])
    listed = table(simulated, "stock", "avanser", "country=AU", "szu=sydney")
    assert [row["number"] for row in listed] == [one["number"] for one in shown["data"]]
    assert all(row["number"].startswith("+61") and row["pool"] for row in listed)


@pytest.mark.parametrize(
    ("words", "said", "status"),
    [
        (["nobody"], "nobody", 2),
        (["avanser", "sydney"], "NAME=VALUE", 2),
        (["avanser", "=sydney"], "NAME=VALUE", 2),
        (["avanser", "country=AU", "country=NZ"], "more than once", 2),
        (["telmetrics"], "TRUNKLINE_TELMETRICS_TOKEN", 2),
    ],
)
def test_stock_that_cannot_be_asked_so_is_refused(cli: Cli, words: list[str], said: str, status: int) -> None:
    assert said in cli.run("stock", *words, status=status).stderr


def test_an_upstream_without_stock_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_TELMETRICS_TOKEN", "token")
    assert "no stock" in cli.run("stock", "telmetrics", status=2).stderr


@pytest.mark.parametrize("words", [["stock", "avanser", "country=AU"], ["upstream", "numbers", "avanser"]])
def test_an_upstream_that_does_not_answer_is_a_sentence_and_status_3(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("TRUNKLINE_AVANSER_URL", "http://127.0.0.1:1/v1")
    result = cli.run(*words, status=3)
    assert "avanser: " in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("variable", ["PASSWORD", "ACCOUNT_ID"])
@pytest.mark.parametrize("words", [["stock", "avanser", "country=AU"], ["upstream", "numbers", "avanser"]])
def test_wrong_credentials_and_a_wrong_account_are_a_sentence_and_status_2(
    simulated: Cli, monkeypatch: pytest.MonkeyPatch, words: list[str], variable: str
) -> None:
    monkeypatch.setenv(f"TRUNKLINE_AVANSER_{variable}", "another")
    assert "avanser: " in simulated.run(*words, status=2).stderr


def order(sandbox: SandboxServer, number: str) -> None:
    """Somebody orders this number of the upstream, past Trunkline."""
    service = {"type": "transfer", "answer_point": "61401603859"}
    wanted = {"country": "AU", "search_type": "number", "number": number.removeprefix("+")}
    uris = {"call_uri": "http://127.0.0.1:1/x", "callback_uri": "http://127.0.0.1:1/x"}
    with sandbox.avanser() as client:
        answer = client.post("/requests", json={"custom_id": "x", "service_number": wanted, "service": service, **uris})
        assert answer.status_code == 200


def test_what_the_upstream_says_is_ours_stands_beside_our_books(simulated: Cli, sandbox: SandboxServer) -> None:
    with sandbox.avanser() as client:
        both, alone = ("+" + key for key in list(client.get("/numbers?country=AU&szu=sydney").json()["response"])[:2])
    order(sandbox, both)
    order(sandbox, alone)
    bought = done(simulated.engine, number=both)
    lost = done(simulated.engine, number=PERTH, custom_id="dealer-17")
    done(simulated.engine, number="+61299990000", upstream="telmetrics")
    shown = {one["number"]: one for one in simulated.json("upstream", "numbers", "avanser")["data"]}
    assert {number: one["held"] for number, one in shown.items()} == {
        both: "both",
        alone: "upstream",
        PERTH: "trunkline",
    }
    assert (shown[both]["request"], shown[PERTH]["request"]) == (str(bought), str(lost))
    assert (shown[alone]["custom_id"], shown[PERTH]["custom_id"]) == ("x", "dealer-17")
    assert {row["number"] for row in table(simulated, "upstream", "numbers", "avanser")} == set(shown)


def test_the_addresses_for_a_portal_open_the_receivers_door_and_say_who_needs_them(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUNKLINE_PUBLIC_URL", "https://trunkline.example")
    shown = cli.json("upstream", "urls")["data"]
    assert [(one["upstream"], one["for"]) for one in shown if one["is_needed"]] == [
        ("messagemedia", "messages"),
        ("telmetrics", "calls"),
        ("telmetrics", "messages"),
    ]
    doors = {"calls": ("calls", Purpose.CALL), "messages": ("sms", Purpose.SMS)}
    tokens = Tokens([SecretStr(SECRET_KEY)])
    for one in shown:
        path, purpose = doors[one["for"]]
        address, _, token = one["url"].rpartition("/")
        assert address == f"https://trunkline.example/{path}/{one['upstream']}"
        assert tokens.check(one["upstream"], purpose, token) == PORTAL
    lines = table(cli, "upstream", "urls")
    assert [row["url"] for row in lines] == [one["url"] for one in shown]
    assert {row["upstream"] for row in lines if row["what to do"] == "enter it in the portal"} == {
        "messagemedia",
        "telmetrics",
    }
    assert [one["url"] for one in cli.json("upstream", "urls", "avanser")["data"]] == [
        one["url"] for one in shown if one["upstream"] == "avanser"
    ]


def test_settings_are_all_that_the_addresses_need(embedded: Cli) -> None:
    assert len(embedded.json("upstream", "urls", "telmetrics")["data"]) == 2
    embedded.run("upstream", "urls", "nobody", status=2)


@pytest.mark.parametrize(
    "words",
    [
        ["numbers"],
        ["numbers", "list"],
        ["numbers", "show"],
        ["numbers", "update"],
        ["numbers", "release"],
        ["calls"],
        ["messages"],
        ["stock"],
        ["upstream", "urls"],
        ["upstream", "numbers"],
    ],
    ids=" ".join,
)
def test_every_command_explains_itself(cli: Cli, words: list[str]) -> None:
    said = cli.run(*words, "--help").stdout
    if words != ["numbers"]:
        assert "--json" in said
        assert "Example" in said
