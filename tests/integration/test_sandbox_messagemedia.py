"""The simulated MessageMedia against MessageMedia's guide and reference, through real HTTP."""

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests import messagemedia_page as page
from tests.catcher import Catcher
from tests.sandbox import MESSAGEMEDIA_KEY, MESSAGEMEDIA_SECRET, SandboxServer, eventually

AU_SMS = {"country": "AU", "service_types": "SMS"}
NOT_FOUND = {"message": "Resource not found."}
CONFLICT = {"message": "The number is not available for assignment."}
LABELS = {"label": "Sales", "metadata": {"order": "17"}}
MIXED = [
    {"first": "61437000040", "count": 4},
    {"first": "61285000000", "type": "LANDLINE", "capabilities": ["TTS"]},
    {"first": "61457111111", "capabilities": ["SMS", "MMS"]},
    {"first": "18337010000", "country": "US", "type": "TOLL_FREE", "capabilities": ["SMS", "TTS", "MMS"]},
]


class Signed(httpx.Auth):
    """HMAC by the vendor's page, `HTTP/1.1` and all."""

    requires_request_body = True

    def __init__(self, secret: str = MESSAGEMEDIA_SECRET, clock: timedelta = timedelta()) -> None:
        self._secret, self._clock = secret, clock

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        lines = {"Date": format_datetime(datetime.now(UTC) + self._clock, usegmt=True)}
        if request.content:
            lines["Content-MD5"] = hashlib.md5(request.content).hexdigest()  # noqa: S324 -- the vendor's choice
        request.headers.update(lines)
        target = request.url.raw_path.decode()
        signed = [f"{name}: {value}" for name, value in lines.items()] + [f"{request.method} {target} HTTP/1.1"]
        signature = b64encode(hmac.digest(self._secret.encode(), "\n".join(signed).encode(), "sha256")).decode()
        request.headers["Authorization"] = (
            f'hmac username="{MESSAGEMEDIA_KEY}", algorithm="hmac-sha256", '
            f'headers="{" ".join([*lines, "request-line"])}", signature="{signature}"'
        )
        yield request


BASIC = httpx.BasicAuth(MESSAGEMEDIA_KEY, MESSAGEMEDIA_SECRET)


@pytest.fixture
def messagemedia(sandbox: SandboxServer) -> Iterator[httpx.Client]:
    with sandbox.messagemedia() as client:
        yield client


def search(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get("/", params=query).json()["data"]
    return rows


def numbers(client: httpx.Client, **query: Any) -> list[str]:
    return [row["phone_number"] for row in search(client, **query)]


def ids(client: httpx.Client, **query: Any) -> list[str]:
    return [row["id"] for row in search(client, **query)]


def assign(client: httpx.Client, number_id: str, **labels: Any) -> dict[str, Any]:
    answer = client.post(f"/{number_id}/assignment", json=labels)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def assigned(client: httpx.Client, **query: Any) -> list[str]:
    rows = client.get("/assignments", params=query).json()["data"]
    return [row["number"]["phone_number"] for row in rows]


def pages(client: httpx.Client, path: str, **query: Any) -> list[list[dict[str, Any]]]:
    """All pages of a list, each of the size that was asked for but the last."""
    found: list[list[dict[str, Any]]] = []
    token: dict[str, str] | None = {}
    while token is not None:
        answer = client.get(path, params={**query, **token}).json()
        assert list(answer) == ["data", "pagination"]
        assert answer["pagination"]["page_size"] == query["page_size"]
        found.append(answer["data"])
        following = answer["pagination"].get("next_token", "")
        token = {"token": following} if "next_token" in answer["pagination"] else None
    return found


def same(answer: httpx.Response, example: str) -> bool:
    """Same bytes but for white space."""
    return json.dumps(answer.json()) == json.dumps(json.loads(example))


def test_the_guides_search_is_answered_as_in_the_guide(messagemedia: httpx.Client) -> None:
    answer = messagemedia.get("/", params={**AU_SMS, "page_size": 3})
    assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert same(answer, page.text("search.json"))
    assert ids(messagemedia, **AU_SMS, page_size=3, token=page.NEXT_TOKEN)[0] == page.NEXT_TOKEN


def test_the_guides_assignment_and_its_label_are_answered_as_in_the_guide(messagemedia: httpx.Client) -> None:
    path = f"/{page.CHOSEN}/assignment"
    answer = messagemedia.post(path)
    assert (answer.status_code, same(answer, page.text("assignment.json"))) == (201, True)
    answer = messagemedia.patch(path, content=page.text("label_request.json"))
    # The guide sends Representative-Fred and gets HouseElf-Fred back.
    wanted = page.text("label_answer.json").replace("HouseElf-Fred", page.document("label_request.json")["label"])
    assert (answer.status_code, same(answer, wanted)) == (200, True)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("auth", [BASIC, Signed()], ids=["basic", "hmac"])
def test_all_seven_calls_are_taken_with_a_slash_and_without_under_both_authentications(
    sandbox: SandboxServer, auth: httpx.Auth, slash: str
) -> None:
    url, one = sandbox.messagemedia_url, f"{sandbox.messagemedia_url}/{page.CHOSEN}"
    with httpx.Client(auth=auth) as client:
        row = client.get(f"{url}{slash}?page_size=3&country=AU").json()["data"][2]
        assert client.get(f"{one}{slash}").json() == row
        made = client.post(f"{one}/assignment{slash}", json=LABELS).json()
        assert made == {**LABELS, "id": made["id"], "number_id": page.CHOSEN}
        assert client.get(f"{one}/assignment{slash}").json() == made
        assert client.get(f"{url}/assignments{slash}").json()["data"] == [{"assignment": made, "number": row}]
        changed = client.patch(f"{one}/assignment{slash}", json={"label": "Support"}).json()
        assert changed == {**made, "label": "Support"}
        released = client.delete(f"{one}/assignment{slash}")
        assert (released.status_code, released.content) == (204, b"")
    assert [entry["kind"] for entry in sandbox.ledger()] == ["provision", "update", "release"]


@pytest.mark.parametrize(
    "auth",
    [None, httpx.BasicAuth(MESSAGEMEDIA_KEY, "wrong"), Signed("wrong"), Signed(clock=timedelta(minutes=-6))],
    ids=["none", "basic", "hmac", "an old hmac"],
)
def test_whoever_has_not_the_secret_gets_401_and_nothing_done(sandbox: SandboxServer, auth: httpx.Auth | None) -> None:
    url = sandbox.messagemedia_url
    with httpx.Client(auth=auth) as client:
        answers = [
            client.get(url),
            client.post(f"{url}/{page.CHOSEN}/assignment", json=LABELS),
            client.get(f"{url}/x/y"),
        ]
    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].json() == {"message": "Invalid authentication credentials"}
    assert sandbox.ledger() == []
    assert sandbox.summary()["traffic"]["total"] == 0


def test_a_signature_is_good_for_its_own_body_alone(sandbox: SandboxServer) -> None:
    url = f"{sandbox.messagemedia_url}/{page.CHOSEN}/assignment"
    request = httpx.Request("POST", url, json=LABELS)
    signed = next(Signed().auth_flow(request)).headers
    other = json.dumps(LABELS).replace("Sales", "Theft").encode()
    headers = {name: signed[name] for name in ("Authorization", "Date", "Content-MD5")}
    assert httpx.post(url, content=other, headers=headers).status_code == 401
    assert httpx.post(url, content=request.content, headers=headers).status_code == 201


def test_a_search_is_read_to_its_end_page_by_page(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    sandbox.script(messagemedia={"stock": [{"first": "61437000000", "count": 5}, {"first": "61447000000", "count": 2}]})
    found = pages(messagemedia, "/", page_size=3)
    assert [len(each) for each in found] == [3, 3, 1]
    assert [row["phone_number"][-4:] for each in found for row in each] == [*(f"000{n}" for n in (0, 1, 2, 3, 4, 0, 1))]
    assert [len(each) for each in pages(messagemedia, "/", page_size=7)] == [7], "a full last page is the last"


def test_a_page_goes_on_where_the_one_before_ended_though_its_first_number_was_taken(
    sandbox: SandboxServer, messagemedia: httpx.Client
) -> None:
    sandbox.script(messagemedia={"stock": [{"first": "61437000000", "count": 5}]})
    token = messagemedia.get("/", params={"page_size": 2}).json()["pagination"]["next_token"]
    assign(messagemedia, token)
    assert numbers(messagemedia, token=token) == ["+61437000003", "+61437000004"]


def test_a_page_has_fifty_rows_unless_asked_otherwise_and_at_most_a_thousand(messagemedia: httpx.Client) -> None:
    assert len(search(messagemedia)) == 50
    assert len(search(messagemedia, page_size=5_000)) == 1_000


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"country": "US"}, "18337010000"),
        ({"country": "us"}, "18337010000"),
        ({"country": "FR"}, ""),
        ({"matching": "42"}, "61437000042"),
        ({"matching": "1111"}, "61457111111"),
        ({"matching": "+6128"}, "61285000000"),
        ({"matching": "987"}, ""),
        ({"service_types": "TTS"}, "61285000000 18337010000"),
        ({"service_types": "SMS,MMS"}, "61457111111 18337010000"),
        ({"service_types": ["mms", "TTS"]}, "18337010000"),
        ({"types": "LANDLINE,TOLL_FREE"}, "61285000000 18337010000"),
        ({"types": ["LANDLINE", "TOLL_FREE"], "country": "AU"}, "61285000000"),
    ],
)
def test_a_search_is_filtered(
    sandbox: SandboxServer, messagemedia: httpx.Client, query: dict[str, Any], found: str
) -> None:
    sandbox.script(messagemedia={"stock": MIXED})
    assert numbers(messagemedia, **query) == [f"+{number}" for number in found.split()]


@pytest.mark.parametrize(("spelling", "spelt"), [("plus", "+61439742682"), ("digits", "61439742682")])
def test_a_number_is_spelt_as_the_script_says(
    sandbox: SandboxServer, messagemedia: httpx.Client, spelling: str, spelt: str
) -> None:
    sandbox.script(messagemedia={"spelling": spelling})
    assert search(messagemedia, page_size=1)[0]["phone_number"] == spelt


def test_a_number_may_be_a_json_integer_wherever_it_is_shown(
    sandbox: SandboxServer, messagemedia: httpx.Client
) -> None:
    sandbox.script(messagemedia={"spelling": "integer"})
    assign(messagemedia, page.FIRST)
    shown = [
        messagemedia.get(f"/{page.FIRST}").json()["phone_number"],
        messagemedia.get("/assignments").json()["data"][0]["number"]["phone_number"],
        search(messagemedia, page_size=1)[0]["phone_number"],
    ]
    assert shown == [61439742682, 61439742682, 61438824240]


def test_a_row_shows_its_class_and_capabilities(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    both = ["SMS", "MMS"]
    stock = [{"first": f"61457{six}", "capabilities": both} for six in ("444444", "444445", "444371")]
    sandbox.script(messagemedia={"stock": stock})
    rows = search(messagemedia)
    assert [row["classification"] for row in rows] == ["GOLD", "SILVER", "BRONZE"]
    assert rows[0]["capabilities"] == both
    assert datetime.fromisoformat(rows[0]["available_after"]) < datetime.now(UTC)
    assert UUID(rows[0]["id"]).version == 4


@pytest.fixture
def held(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    """All of `MIXED`, assigned in the order of the stock with labels a, b, a, b, a, b, a."""
    sandbox.script(messagemedia={"stock": MIXED})
    for place, number_id in enumerate(ids(messagemedia)):
        assign(messagemedia, number_id, label="ab"[place % 2])
    assert search(messagemedia) == []


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"label": "b"}, "61437000041 61437000043 61457111111"),
        ({"label": "A"}, ""),
        ({"matching": "4300"}, ""),
        ({"matching": "7000043"}, "61437000043"),
        ({"country": "US", "label": "a"}, "18337010000"),
        ({"type": "LANDLINE"}, "61285000000"),
        ({"type": "LANDLINE", "types": "TOLL_FREE"}, "18337010000"),
        ({"service_types": "MMS"}, "61457111111 18337010000"),
        ({"classification": "GOLD", "sort_direction": "DESCENDING"}, "61457111111 61285000000"),
        ({"number_id": page.FIRST}, ""),
        ({"number_id": "nonsense"}, ""),
    ],
)
def test_assignments_are_filtered(messagemedia: httpx.Client, query: dict[str, str], found: str) -> None:
    assert assigned(messagemedia, **query) == [f"+{number}" for number in found.split()]


@pytest.mark.usefixtures("held")
def test_an_assignment_is_found_by_its_number_id(messagemedia: httpx.Client) -> None:
    (third,) = (
        row for row in messagemedia.get("/assignments").json()["data"] if "0042" in row["number"]["phone_number"]
    )
    found = messagemedia.get("/assignments", params={"number_id": third["number"]["id"]}).json()["data"]
    assert found == [third]


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("direction", ["ASCENDING", "DESCENDING"])
def test_assignments_are_read_to_their_end_in_either_direction(messagemedia: httpx.Client, direction: str) -> None:
    found = pages(messagemedia, "/assignments", page_size=3, sort_direction=direction)
    assert [len(each) for each in found] == [3, 3, 1]
    labels = [row["assignment"]["label"] for each in found for row in each]
    assert labels == list("abababa")
    first = found[0][0]["number"]["phone_number"]
    assert first == ("+61437000040" if direction == "ASCENDING" else "+18337010000")
    labelled = pages(messagemedia, "/assignments", page_size=2, sort_direction=direction, label="a")
    assert [len(each) for each in labelled] == [2, 2]


@pytest.mark.usefixtures("held")
def test_an_assignment_that_is_updated_keeps_its_place(messagemedia: httpx.Client) -> None:
    before = assigned(messagemedia)
    for row in messagemedia.get("/assignments").json()["data"][:2]:
        messagemedia.patch(f"/{row['number']['id']}/assignment", json={"label": "c"})
    assert assigned(messagemedia) == before


@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        ("/", {"page_size": "0"}, "page_size"),
        ("/", {"page_size": "many"}, "page_size"),
        ("/", {"matching": "4x"}, "matching"),
        ("/", {"service_types": "FAX"}, "service_types"),
        ("/", {"types": "MOBILE,PAGER"}, "types"),
        ("/", {"token": "b9ee3fe8-2c20-47b1-96e9-c5d12d7ed985"}, "token"),
        ("/", {"token": "2"}, "token"),
        ("/assignments", {"token": page.FIRST}, "token"),
        ("/assignments", {"classification": "TIN"}, "classification"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_by_name(
    messagemedia: httpx.Client, path: str, query: dict[str, str], named: str
) -> None:
    answer = messagemedia.get(path, params=query)
    assert answer.status_code == 400
    assert list(answer.json()) == ["message", "details"]
    assert [detail.partition(":")[0] for detail in answer.json()["details"]] == [named]


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ("{", ["Failed to parse message body."]),
        ("[]", ["Failed to parse message body."]),
        ('{"label": 7}', ["label: Input should be a valid string."]),
        ('{"label": null}', ["label: Input should be a valid string."]),
        ('{"metadata": "x"}', ["metadata: Input should be an object."]),
        (
            '{"metadata": {"order": 17, "urgent": true, "good": "yes"}}',
            ["metadata.order: Input should be a valid string.", "metadata.urgent: Input should be a valid string."],
        ),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_what_is_wrong_and_does_nothing(
    sandbox: SandboxServer, messagemedia: httpx.Client, body: str, details: list[str]
) -> None:
    path = f"/{page.CHOSEN}/assignment"
    refused = messagemedia.post(path, content=body)
    assign(messagemedia, page.CHOSEN, **LABELS)
    for answer in (refused, messagemedia.patch(path, content=body)):
        assert (answer.status_code, answer.json()["details"]) == (400, details)
    assert [entry["kind"] for entry in sandbox.ledger()] == ["provision"]
    assert messagemedia.get(path).json()["label"] == "Sales"


def test_an_update_needs_a_body(messagemedia: httpx.Client) -> None:
    assign(messagemedia, page.CHOSEN)
    assert messagemedia.patch(f"/{page.CHOSEN}/assignment").status_code == 400


def test_what_is_not_there_is_404(messagemedia: httpx.Client) -> None:
    unknown = "b9ee3fe8-2c20-47b1-96e9-c5d12d7ed985"
    calls = [
        ("GET", f"/{unknown}"),
        ("POST", f"/{unknown}/assignment"),
        ("GET", "/nonsense"),
        ("PUT", f"/{page.FIRST}"),
    ]
    calls += [(method, f"/{page.FIRST}/assignment") for method in ("GET", "PATCH", "DELETE")]
    for method, path in calls:
        answer = messagemedia.request(method, path, json={} if method in ("POST", "PATCH") else None)
        assert (answer.status_code, answer.json()) == (404, NOT_FOUND), (method, path)


def test_a_number_that_we_hold_is_in_no_search_and_cannot_be_assigned_again(
    sandbox: SandboxServer, messagemedia: httpx.Client
) -> None:
    before = assign(messagemedia, page.FIRST)
    assert page.FIRST not in ids(messagemedia)
    answer = messagemedia.post(f"/{page.FIRST}/assignment", json=LABELS)
    assert (answer.status_code, answer.json()) == (409, CONFLICT)
    assert messagemedia.get(f"/{page.FIRST}/assignment").json() == before
    assert sandbox.summary()["orders"] == 1


def test_a_number_that_is_available_only_later_is_shown_and_cannot_be_assigned(
    sandbox: SandboxServer, messagemedia: httpx.Client
) -> None:
    sandbox.script(messagemedia={"stock": [{"first": "61437000000", "available_after": "2999-01-01T00:00:00Z"}]})
    (row,) = search(messagemedia)
    assert row["available_after"] == "2999-01-01T00:00:00.000Z"
    answer = messagemedia.post(f"/{row['id']}/assignment")
    assert (answer.status_code, answer.json()) == (409, CONFLICT)


def test_a_released_number_rests_for_six_months(messagemedia: httpx.Client) -> None:
    assign(messagemedia, page.FIRST, **LABELS)
    assert messagemedia.delete(f"/{page.FIRST}/assignment").status_code == 204
    assert messagemedia.get(f"/{page.FIRST}/assignment").status_code == 404
    assert messagemedia.delete(f"/{page.FIRST}/assignment").status_code == 404
    assert assigned(messagemedia) == assigned(messagemedia, label="Sales") == []
    assert page.FIRST not in ids(messagemedia)
    assert messagemedia.post(f"/{page.FIRST}/assignment").status_code == 409
    available_after = datetime.fromisoformat(messagemedia.get(f"/{page.FIRST}").json()["available_after"])
    assert available_after - datetime.now(UTC) > timedelta(days=181)


def test_a_released_number_comes_back_after_its_rest(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    sandbox.script(messagemedia={"quarantine": 1})
    first = assign(messagemedia, page.CHOSEN, **LABELS)
    messagemedia.delete(f"/{page.CHOSEN}/assignment")
    assert page.CHOSEN not in ids(messagemedia)
    eventually(lambda: page.CHOSEN in ids(messagemedia))
    second = assign(messagemedia, page.CHOSEN)
    assert second == {"id": second["id"], "number_id": page.CHOSEN}, "and carries nothing from before"
    assert second["id"] != first["id"]
    assert assigned(messagemedia) == [page.CHOSEN_NUMBER]


def test_an_update_changes_what_it_says(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    made = assign(messagemedia, page.FIRST, label="Sales", metadata={"a": "1", "b": "2"})
    path = f"/{page.FIRST}/assignment"
    assert messagemedia.patch(path, json={"metadata": {"b": "3"}}).json() == {**made, "metadata": {"b": "3"}}
    assert messagemedia.patch(path, json={}).json() == {**made, "metadata": {"b": "3"}}
    assert messagemedia.patch(path, json={"label": "Support"}).json()["label"] == "Support"
    assert [assigned(messagemedia, label=label) for label in ("Sales", "Support")] == [[], ["+61439742682"]]
    sandbox.script(messagemedia={"updates_add": True})
    assert messagemedia.patch(path, json={"metadata": {"a": "4"}}).json()["metadata"] == {"a": "4", "b": "3"}
    assert messagemedia.get(path).json()["metadata"] == {"a": "4", "b": "3"}


def test_an_update_may_be_answered_with_nothing(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    sandbox.script(messagemedia={"update_by_204": True})
    assign(messagemedia, page.FIRST)
    answer = messagemedia.patch(f"/{page.FIRST}/assignment", json=LABELS)
    assert (answer.status_code, answer.content) == (204, b"")
    assert messagemedia.get(f"/{page.FIRST}/assignment").json()["label"] == "Sales"


def test_stock_runs_out_and_is_filled_up_again(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    sandbox.script(messagemedia={"limit": 1})
    assign(messagemedia, *ids(messagemedia))
    assert messagemedia.get("/").json() == {"data": [], "pagination": {"page_size": 50}}
    sandbox.script(messagemedia={"limit": 2})
    assert ids(messagemedia) == [page.SECOND]


def test_a_number_that_is_held_stays_ours_when_other_numbers_are_stocked(
    sandbox: SandboxServer, messagemedia: httpx.Client
) -> None:
    made = assign(messagemedia, page.FIRST, **LABELS)
    sandbox.script(messagemedia={"stock": [{"first": "61437000000"}]})
    assert numbers(messagemedia) == ["+61437000000"]
    assert messagemedia.get(f"/{page.FIRST}").json()["phone_number"] == "+61439742682"
    assert messagemedia.get(f"/{page.FIRST}/assignment").json() == made
    assert messagemedia.get(f"/{page.SECOND}").status_code == 404


def test_every_effect_is_in_the_ledger_under_what_the_assignment_carries(
    sandbox: SandboxServer, messagemedia: httpx.Client
) -> None:
    made = assign(messagemedia, page.FIRST, **LABELS)
    bare = assign(messagemedia, page.SECOND)
    messagemedia.patch(f"/{page.FIRST}/assignment", json={"label": "Support"})
    messagemedia.delete(f"/{page.FIRST}/assignment")
    entries = sandbox.ledger(upstream="messagemedia")
    changed = '{"label": "Support", "metadata": {"order": "17"}}'
    wanted = [
        ("provision", "61439742682", "Sales", made["id"], json.dumps(LABELS)),
        ("provision", "61438824240", "", bare["id"], bare["id"]),
        ("update", "61439742682", "Support", made["id"], changed),
        ("release", "61439742682", "Support", made["id"], changed),
    ]
    shown = ("kind", "number", "name", "request_id", "key")
    assert [tuple(entry[name] for name in shown) for entry in entries] == wanted
    assert {(entry["status"], entry["completed_at"] == entry["at"]) for entry in entries} == {("completed", True)}
    books = sandbox.summary()
    assert (books["orders"], books["completed"], books["pending"], books["bought_twice"]) == (2, 4, 0, 0)


def test_two_assignments_that_carry_the_same_are_bought_twice(
    sandbox: SandboxServer, messagemedia: httpx.Client
) -> None:
    assign(messagemedia, page.FIRST, **LABELS)
    assign(messagemedia, page.SECOND, metadata=LABELS["metadata"], label=LABELS["label"])
    assign(messagemedia, page.CHOSEN, label="Sales")
    assert sandbox.summary()["by_key"] == {json.dumps(LABELS): 2}


def test_a_killed_sandbox_remembers_what_it_sold_changed_and_took_back(tmp_path: Path) -> None:
    with SandboxServer(ledger=tmp_path / "ledger.jsonl") as sandbox:
        with sandbox.messagemedia() as client:
            for number_id in (page.FIRST, page.SECOND, page.CHOSEN):
                assign(client, number_id, **LABELS)
            client.patch(f"/{page.SECOND}/assignment", json={"label": "Support"})
            client.delete(f"/{page.CHOSEN}/assignment")
            sandbox.script(faults=[{"fault": "taken_meanwhile", "upstream": "messagemedia"}])
            client.post(f"/{page.NEXT_TOKEN}/assignment")
            before = [client.get(path).json() for path in ("/assignments", f"/{page.CHOSEN}", "/?page_size=2")]
        books = sandbox.summary()
        sandbox.kill()
        sandbox.start()
        with sandbox.messagemedia() as client:
            after = [client.get(path).json() for path in ("/assignments", f"/{page.CHOSEN}", "/?page_size=2")]
            assert after == before
            assert {client.post(f"/{number_id}/assignment").status_code for number_id in page_ids()} == {409}
        assert {**sandbox.summary(), "traffic": None} == {**books, "traffic": None}


def page_ids() -> list[str]:
    return [page.FIRST, page.SECOND, page.CHOSEN, page.NEXT_TOKEN]


def test_a_reset_gives_all_numbers_back(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    assign(messagemedia, page.FIRST)
    sandbox.reset()
    assert assigned(messagemedia) == []
    assert ids(messagemedia)[0] == page.FIRST


def test_an_inbound_message_is_posted_to_the_address_of_the_portal(
    sandbox: SandboxServer, messagemedia: httpx.Client, catcher: Catcher
) -> None:
    assign(messagemedia, page.CHOSEN)
    sandbox.portal("messagemedia", messages=f"{catcher.url}/sms?mine=1")
    told = sandbox.message("+61 438 851 616", upstream="messagemedia", content="Hi", metadata={"myKey": "myValue"})
    (caught,) = catcher.caught
    said = json.loads(caught.body)
    assert (caught.method, caught.path, caught.headers["Content-Type"]) == ("POST", "/sms?mine=1", "application/json")
    assert told == {"uri": f"{catcher.url}/sms?mine=1", "parameters": said, "status": 204}
    # The fields of the example on the webhooks' page, in its order.
    fields = "account_id reply_id destination_number source_number date_received message_id content metadata"
    assert list(said) == fields.split()
    assert (said["destination_number"], said["content"]) == (page.CHOSEN_NUMBER, "Hi")
    assert said["metadata"] == {"myKey": "myValue"}
    assert UUID(said["reply_id"]) != UUID(said["message_id"])
    received = datetime.fromisoformat(said["date_received"])
    assert abs(datetime.now(UTC) - received) < timedelta(seconds=10)
    assert said["date_received"].endswith("Z")


def test_no_message_comes_to_a_number_that_is_not_ours_or_where_the_portal_has_no_address(
    sandbox: SandboxServer, messagemedia: httpx.Client
) -> None:
    def told(event: str, number: str) -> tuple[int, str]:
        body = {"upstream": "messagemedia", "number": number}
        answer = httpx.post(f"{sandbox.url}/_sandbox/{event}", json=body)
        return answer.status_code, answer.json()["errors"][0]["detail"]

    assign(messagemedia, page.CHOSEN)
    assert told("messages", "61439742682") == (409, "61439742682 is not assigned")
    assert told("messages", "x") == (409, "x is not assigned")
    assert told("messages", "61438851616") == (409, "the portal has no address for messages")
    assert told("calls", "61438851616") == (409, "61438851616 takes messages: MessageMedia reports no calls")
