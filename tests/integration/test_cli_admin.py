"""`trunkline keys`, `endpoints`, `upstream`, `migrate`, `doctor`, and what every command says when it cannot."""

import stat
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from models.base import read, utc_now, write
from models.endpoint import find
from models.heartbeat import beat
from models.migrations import downgrade
from models.requester import ApiKey, Scope, find_caller
from models.requester import find as find_requester
from tests.factory import NOW, SECRET_KEY, make_requests
from tests.integration.cli import Cli, cli, csv_file, embedded, environment
from worker.limits import Limits
from worker.relay import HEARTBEAT

__all__ = ["cli", "embedded", "environment"]


# Keys


def test_a_key_acts_for_its_requester_with_its_scopes_until_it_is_revoked(cli: Cli) -> None:
    made = cli.json("keys", "create", "--name", "portal", "--scopes", "submit,operate", "--requester", "crm")
    assert set(made) == {"id", "key"}
    caller = read(cli.engine, lambda session: find_caller(session, made["key"], utc_now()))
    assert caller is not None
    assert (caller.requester, caller.scopes) == ("crm", frozenset({Scope.SUBMIT, Scope.OPERATE}))
    listed = cli.run("keys", "list").stdout
    assert "portal" in listed
    assert made["key"] not in listed
    cli.run("keys", "revoke", made["id"])
    assert read(cli.engine, lambda session: find_caller(session, made["key"], utc_now())) is None
    cli.run("keys", "revoke", made["id"], status=2)


@pytest.mark.parametrize(("text", "days"), [("90d", 90), ("1d", 1)])
def test_a_key_ends_after_so_many_days(cli: Cli, text: str, days: int) -> None:
    made = cli.json("keys", "create", "--name", "portal", "--expires", text)
    (listed,) = cli.json("keys", "list")["data"]
    life = datetime.fromisoformat(listed["expires_at"]) - datetime.fromisoformat(listed["created_at"])
    assert (life, listed["state"], listed["last_used_at"]) == (timedelta(days=days), "open", None)
    end = datetime.fromisoformat(listed["expires_at"])
    for now, is_good in ((end - timedelta(seconds=1), True), (end, False)):
        caller = read(cli.engine, lambda session, now=now: find_caller(session, made["key"], now))  # type: ignore[misc]
        assert (caller is not None) is is_good


def test_a_key_ends_at_a_date_or_a_time(cli: Cli) -> None:
    said = {"2199-01-31": "2199-01-31T00:00:00Z", "2199-01-31T12:00:00+02:00": "2199-01-31T10:00:00Z"}
    for text in said:
        cli.run("keys", "create", "--name", text, "--expires", text)
    listed = cli.json("keys", "list")["data"]
    assert {one["name"]: datetime.fromisoformat(one["expires_at"]) for one in listed} == {
        text: datetime.fromisoformat(moment) for text, moment in said.items()
    }


@pytest.mark.parametrize("text", ["soon", "90", "-1d", "0d", "2020-01-01", "2199-01-31T12:00:00", "2199-13-01", ""])
def test_an_end_that_is_none_is_refused_by_name(cli: Cli, text: str) -> None:
    assert "--expires" in cli.run("keys", "create", "--name", "x", f"--expires={text}", status=2).stderr
    assert cli.json("keys", "list")["data"] == []


def test_a_list_tells_which_keys_are_open(cli: Cli) -> None:
    open_, revoked, expired = (cli.json("keys", "create", "--name", name) for name in ("a", "b", "c"))
    cli.run("keys", "revoke", revoked["id"])
    ended = sa.update(ApiKey).where(ApiKey.name == "c").values(expires_at=utc_now())
    write(cli.engine, lambda session: session.execute(ended))
    states = {one["id"]: one["state"] for one in cli.json("keys", "list")["data"]}
    assert states == {open_["id"]: "open", revoked["id"]: "revoked", expired["id"]: "expired"}


def test_a_key_may_be_given_a_rate_of_its_own(cli: Cli) -> None:
    for name, words in (("usual", []), ("any", ["--rate", "0"]), ("slow", ["--rate", "60"])):
        cli.run("keys", "create", "--name", name, *words)
    assert {one["name"]: one["rate"] for one in cli.json("keys", "list")["data"]} == {
        "usual": None,
        "any": 0,
        "slow": 60,
    }
    assert "--rate" in cli.run("keys", "create", "--name", "x", "--rate", "-1", status=2).stderr


def test_a_key_is_alone_on_standard_output(cli: Cli) -> None:
    result = cli.run("keys", "create", "--name", "portal")
    assert result.stdout.startswith("tk_")
    assert len(result.stdout.split()) == 1


@pytest.mark.parametrize("scopes", ["everything", "read,everything", ","])
def test_a_key_needs_scopes_that_there_are(cli: Cli, scopes: str) -> None:
    assert "--scopes" in cli.run("keys", "create", "--name", "x", "--scopes", scopes, status=2).stderr


# Endpoints


def test_an_endpoint_is_made_listed_rotated_disabled_and_enabled(cli: Cli) -> None:
    url = "https://crm.example/results"
    made = cli.json("endpoints", "create", "--url", url, "--types", "request.completed,request.failed", "--name", "crm")
    assert set(made) == {"id", "secret"}
    (listed,) = cli.json("endpoints", "list")["data"]
    assert (listed["id"], listed["url"], listed["requester"]) == (made["id"], url, "default")
    assert listed["types"] == ["request.completed", "request.failed"]
    assert "secret" not in listed
    anew = cli.json("endpoints", "rotate", "crm")
    assert anew["id"] == made["id"]
    assert anew["secret"] != made["secret"]
    assert cli.json("endpoints", "disable", made["id"], "--reason", "moved")["disabled_reason"] == "moved"
    assert cli.json("endpoints", "enable", "crm")["disabled_at"] is None
    owner = read(cli.engine, lambda session: find_requester(session, "default"))
    assert owner is not None
    endpoint = read(cli.engine, lambda session: find(session, owner.id, "crm"))
    assert endpoint is not None
    assert (endpoint.secret, endpoint.previous_secret) == (anew["secret"], made["secret"])


def test_an_endpoint_without_a_name_is_called_after_its_host_and_takes_all_types(cli: Cli) -> None:
    cli.run("endpoints", "create", "--url", "https://crm.example/results")
    (listed,) = cli.json("endpoints", "list", "--requester", "default")["data"]
    assert listed["name"] == "crm.example"
    assert "batch.finished" in listed["types"]
    assert "another --name" in cli.run("endpoints", "create", "--url", "https://crm.example/x", status=2).stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["create", "--url", "http://crm.example/"], "https://"),
        (["create", "--url", "https://10.0.0.1/"], "public internet"),
        (["create", "--url", "crm"], "--url"),
        (["create", "--url", "https://crm.example/", "--types", "everything"], "--types: everything"),
        (["rotate", "nobody"], "'nobody'"),
        (["disable", "nobody"], "'nobody'"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused(cli: Cli, words: list[str], hint: str) -> None:
    assert hint in cli.run("endpoints", *words, status=2).stderr


def test_the_default_secret_stays_until_it_is_rotated(cli: Cli) -> None:
    first = cli.json("endpoints", "secret")["secret"]
    assert first.startswith("whsec_")
    assert cli.run("endpoints", "secret").stdout.strip() == first
    assert cli.json("endpoints", "secret", "--rotate")["secret"] != first


# Upstreams


def test_an_upstream_is_paused_and_resumed(cli: Cli) -> None:
    make_requests(cli.engine, 2)
    assert cli.json("upstream", "pause", "avanser", "--note", "price is wrong")["changed"] is True
    assert cli.json("upstream", "pause", "avanser")["changed"] is False
    told, *others = cli.json("upstream", "status")["data"]
    assert [one["name"] for one in others] == ["messagemedia", "telmetrics"]
    assert told["paused"]["detail"] == "price is wrong"
    assert told["counts"]["queued"] == 2
    assert "price is wrong" in cli.run("upstream", "status").stdout
    assert cli.json("upstream", "resume", "avanser")["changed"] is True
    assert cli.json("upstream", "status")["data"][0]["paused"] is None
    cli.run("upstream", "pause", "nobody", status=2)


def test_all_upstreams_are_paused_by_one_switch(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    (waiting,) = make_requests(cli.engine)
    cli.run("upstream", "pause", "avanser")
    assert cli.json("upstream", "pause", "--all", "--reason", "fraud")["changed"] is True
    assert cli.json("upstream", "pause", "--all")["changed"] is False
    assert [one["paused"]["detail"] for one in cli.json("upstream", "status")["data"]] == ["fraud"] * 3
    assert "with all others" in cli.run("upstream", "status").stdout
    monkeypatch.setenv("TRUNKLINE_PUBLIC_URL", "https://trunkline.example")
    assert "trunkline upstream resume --all" in cli.run("doctor", "--offline").stdout
    assert "Every upstream is paused" in cli.run("explain", str(waiting)).stdout
    assert "trunkline upstream resume --all" in cli.run("explain", str(waiting)).stdout
    told = cli.run("upstream", "resume", "avanser")
    assert "All upstreams are still paused" in told.stderr
    cli.run("upstream", "pause", "avanser")
    assert "avanser is still paused" in cli.run("upstream", "resume", "--all").stderr
    assert [one["paused"] is None for one in cli.json("upstream", "status")["data"]] == [False, True, True]
    cli.run("upstream", "pause", status=2)
    cli.run("upstream", "resume", "avanser", "--all", status=2)


def test_how_much_of_its_limits_an_upstream_is_given_is_shown(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    monkeypatch.setenv("TRUNKLINE_REDIS_URL", redis_url)
    assert [one["share"] for one in cli.json("upstream", "status")["data"]] == [1, 1, 1]
    Limits(redis_url).heard("avanser", [], NOW, is_refused=True)
    assert [one["share"] for one in cli.json("upstream", "status")["data"]] == [0.5, 1, 1]
    assert "50%" in cli.run("upstream", "status").stdout


# Schema


def test_a_new_embedded_database_is_made_by_the_first_command(embedded: Cli) -> None:
    assert embedded.json("list") == {"data": [], "next_cursor": None}
    home = embedded.folder / "home"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "secret.key").stat().st_mode) == 0o600


def test_an_old_schema_is_refused_until_it_is_migrated(
    cli: Cli, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUNKLINE_DATABASE_URL", postgresql_url)
    downgrade(postgresql_url, "base")
    assert "trunkline migrate" in cli.run("list", status=2).stderr
    assert cli.json("migrate", "--check", status=1)["is_current"] is False
    assert cli.json("migrate")["is_current"] is True
    cli.run("migrate", "--check")
    cli.run("list")


# When it cannot


def test_all_faults_of_the_settings_are_told_at_once(embedded: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_PUBLIC_URL", "nowhere")
    monkeypatch.setenv("TRUNKLINE_MAX_ATTEMPTS", "many")
    monkeypatch.setenv("TRUNKLINE_AVANSER_TIMEOUT", "-1")
    for words in (["list"], ["submit", str(csv_file(embedded.folder, "a"))]):
        said = embedded.run(*words, status=2).stderr
        for name in ("TRUNKLINE_PUBLIC_URL", "TRUNKLINE_MAX_ATTEMPTS", "TRUNKLINE_AVANSER_TIMEOUT"):
            assert name in said
    checks = embedded.json("doctor", status=2)["checks"]
    assert len([check for check in checks if check["state"] == "fault"]) == 3


@pytest.mark.parametrize("words", [["list"], ["keys", "list"], ["doctor", "--offline"]])
def test_a_database_that_does_not_answer_is_a_sentence_and_status_3(
    embedded: Cli, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("TRUNKLINE_DATABASE_URL", "postgresql+psycopg://me:hidden@127.0.0.1:1/none")
    monkeypatch.setenv("TRUNKLINE_SECRET_KEY", SECRET_KEY)
    result = embedded.run(*words, status=3)
    assert "does not answer" in result.output
    assert "hidden" not in result.output


# Doctor


def checks(cli: Cli, status: int) -> dict[str, tuple[str, str]]:
    told = cli.json("doctor", "--offline", status=status)
    return {check["what"]: (check["state"], check["detail"]) for check in told["checks"]}


def test_a_new_home_is_sound_and_the_doctor_says_what_is_next(embedded: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_PUBLIC_URL", "https://trunkline.example")
    told = checks(embedded, 0)
    assert told["database"][0] == "note"
    assert told["broker"] == ("note", "embedded, not running")
    assert told["avanser"][0] == "ok"
    said = embedded.run("doctor", "--offline").stdout
    assert "`trunkline up` starts it" in said


def test_a_database_that_takes_nothing_is_a_fault_with_status_3(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is full, or a standby: it answers every question as ever."""
    if cli.engine.dialect.name == "sqlite":
        with cli.engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER full BEFORE INSERT ON heartbeats BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
            )
    with monkeypatch.context() as while_it_is_full:
        while_it_is_full.setenv("TRUNKLINE_PUBLIC_URL", "https://trunkline.example")
        while_it_is_full.setenv("PGOPTIONS", "-c default_transaction_read_only=on")
        state, detail = checks(cli, 3)["database"]
    assert state == "fault"
    assert "takes nothing" in detail


def test_an_address_that_upstreams_cannot_reach_is_a_fault(cli: Cli) -> None:
    assert "no callback will come" in checks(cli, 2)["public URL"][1]


def test_missing_credentials_are_a_fault_and_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERNAME", "PASSWORD", "ACCOUNT_ID"):
        monkeypatch.delenv(f"TRUNKLINE_AVANSER_{name}")
    assert "TRUNKLINE_AVANSER_ACCOUNT_ID" in checks(cli, 2)["avanser"][1]


def test_a_key_that_others_can_read_is_a_fault(embedded: Cli) -> None:
    embedded.run("list")
    key: Path = embedded.folder / "home" / "secret.key"
    key.chmod(0o644)
    assert "can be read by others" in checks(embedded, 2)["secret key"][1]


def test_a_redis_that_drops_queues_is_a_fault(cli: Cli, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setenv("TRUNKLINE_PUBLIC_URL", "https://trunkline.example")
    monkeypatch.setenv("TRUNKLINE_BROKER_URL", redis_url)
    assert checks(cli, 0)["broker"][0] == "ok"
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            state, detail = checks(cli, 2)["broker"]
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert state == "fault"
    assert "allkeys-lru" in detail


def test_a_redis_that_does_not_answer_is_a_fault_with_status_3(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_BROKER_URL", "redis://127.0.0.1:1/0")
    state, detail = checks(cli, 3)["broker"]
    assert state == "fault"
    assert "does not answer" in detail


def test_an_upstream_that_does_not_answer_is_a_fault_with_status_3(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_AVANSER_URL", "http://127.0.0.1:1/v1")
    told = cli.json("doctor", status=3)["checks"]
    (avanser,) = [check for check in told if check["what"] == "avanser"]
    assert avanser["state"] == "fault"


def test_a_pause_and_silent_workers_are_noted(cli: Cli, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setenv("TRUNKLINE_PUBLIC_URL", "https://trunkline.example")
    monkeypatch.setenv("TRUNKLINE_BROKER_URL", redis_url)
    cli.run("upstream", "pause", "avanser")
    told = cli.run("doctor", "--offline").stdout
    assert "trunkline upstream resume avanser" in told
    assert checks(cli, 0)["worker"][0] == "note"
    write(cli.engine, lambda session: beat(session, HEARTBEAT, utc_now()))
    assert checks(cli, 0)["worker"][0] == "ok"
