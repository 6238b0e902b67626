"""Settings: every fault is named at once, by its variable, and no secret is ever shown."""

import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from worker import redis_client
from worker.settings import RUNNING, SettingsError, load

CREDENTIALS = {
    "TRUNKLINE_AVANSER_USERNAME": "user",
    "TRUNKLINE_AVANSER_PASSWORD": "canary-password",
    "TRUNKLINE_AVANSER_ACCOUNT_ID": "7xxx",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def faults_with(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load()
    return raised.value.faults


def test_all_faults_are_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "TRUNKLINE_DATABASE_URL": "mysql://nowhere",
        "TRUNKLINE_BROKER_URL": "kafka://nowhere",
        "TRUNKLINE_PUBLIC_URL": "not a url",
        "TRUNKLINE_SECRET_KEY": "short",
        "TRUNKLINE_MAX_ATTEMPTS": "none",
        "TRUNKLINE_DELIVERY_BACKOFF": "5,soon",
        "TRUNKLINE_AVANSER_TIMEOUT": "-1",
        "TRUNKLINE_TELMETRICS_RATE": "0",
        "TRUNKLINE_AVANSER_CALLBACKS_FROM": "203.0.113.0/24,everybody",
        "TRUNKLINE_TELMETRICS_VERIFY_CALLBACKS": "perhaps",
        "TRUNKLINE_TRUSTED_PROXIES": "-1",
        "TRUNKLINE_CALLBACKS_OPEN_FOR": "0",
        "TRUNKLINE_EGRESS_PROXY": "socks5://proxy:1080",
    }
    named = {fault.partition(":")[0] for fault in faults_with(monkeypatch, **wrong)}
    assert named == set(wrong)


def test_half_of_an_upstreams_credentials_is_a_fault_that_names_the_other_half(monkeypatch: pytest.MonkeyPatch) -> None:
    (fault, other) = faults_with(monkeypatch, TRUNKLINE_AVANSER_USERNAME="user")
    assert fault.startswith("TRUNKLINE_AVANSER_PASSWORD")
    assert other.startswith("TRUNKLINE_AVANSER_ACCOUNT_ID")


def test_passwords_in_urls_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = {"DATABASE": "postgresql+psycopg://me:canary-1@db/x", "BROKER": "redis://:canary-2@mq/0"}
    urls |= {"REDIS": "rediss://:canary-3@mq/1"}
    for name, url in urls.items():
        monkeypatch.setenv(f"TRUNKLINE_{name}_URL", url)
    monkeypatch.setenv("TRUNKLINE_SECRET_KEY", "canary-4" * 8)
    assert "canary" not in repr(load())


@pytest.mark.parametrize("name", ["BROKER", "REDIS"])
@pytest.mark.parametrize(
    "url",
    [
        "sentinel://a:26379/0;redis://b:26379/0",
        "sentinel://",
        "sentinel://a/0;",
        "sentinel://a/queue",
        "sentinel://a?x=1",
    ],
)
def test_sentinels_that_cannot_be_read_are_a_fault(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    (fault,) = faults_with(monkeypatch, **{f"TRUNKLINE_{name}_URL": url})
    assert fault.startswith(f"TRUNKLINE_{name}_URL: must be sentinel://")


def test_beside_sentinels_limits_live_where_the_queues_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_BROKER_URL", "sentinel://me:canary%2F1@a:26379/3;sentinel://me:canary%2F1@b/3")
    monkeypatch.setenv("TRUNKLINE_SENTINEL_MASTER", "calls")
    monkeypatch.setenv("TRUNKLINE_SENTINEL_PASSWORD", "canary-2&x")
    settings = load()
    assert "canary" not in repr(settings)
    assert settings.broker_as_redis == settings.redis_url
    assert settings.redis_url is not None
    with redis_client.connect(settings.redis_url) as client:
        pool: Any = client.connection_pool
    assert pool.service_name == "calls"
    wanted = {"username": "me", "password": "canary/1", "db": 3}
    assert wanted.items() <= pool.connection_kwargs.items()
    sentinels = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"], one["password"]) for one in sentinels] == [
        ("a", 26379, "canary-2&x"),
        ("b", 26379, "canary-2&x"),
    ]
    assert settings.sentinel_options["master_name"] == "calls"


def test_postgresql_needs_a_secret_key_that_all_processes_share(monkeypatch: pytest.MonkeyPatch) -> None:
    (fault,) = faults_with(monkeypatch, TRUNKLINE_DATABASE_URL="postgresql+psycopg://db/trunkline")
    assert fault.startswith("TRUNKLINE_SECRET_KEY")


def test_a_home_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (fault,) = faults_with(monkeypatch, TRUNKLINE_HOME=str(tmp_path / "file" / "home"))
    assert fault.startswith("TRUNKLINE_HOME")


def test_no_fault_and_no_repr_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert "canary" not in repr(settings)
    assert settings.secret_keys[0].get_secret_value() not in repr(settings)
    assert "canary" not in "\n".join(faults_with(monkeypatch, TRUNKLINE_SECRET_KEY="canary"))


def test_the_embedded_default_needs_no_setting_and_keeps_its_key_to_its_owner(home: Path) -> None:
    first, second = load(), load()
    assert first.secret_keys[0].get_secret_value() == second.secret_keys[0].get_secret_value()
    assert stat.S_IMODE((home / "secret.key").stat().st_mode) == 0o600
    assert first.database_url == f"sqlite:///{home}/trunkline.db"


def test_the_time_limits_ascend_whatever_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for timeout, settling in (("0.1", "0"), ("30", "60"), ("600", "0")):
        monkeypatch.setenv("TRUNKLINE_AVANSER_TIMEOUT", timeout)
        monkeypatch.setenv("TRUNKLINE_AVANSER_SETTLING", settling)
        avanser = load().upstreams["avanser"]
        assert avanser.answer_within < avanser.call_limit <= avanser.lease
        assert avanser.answer_within + timedelta(seconds=float(settling)) < avanser.lease


def test_a_variable_beats_the_env_file_and_that_beats_what_a_running_up_left(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    (home / RUNNING).write_text("TRUNKLINE_PUBLIC_URL='http://up:1'\nTRUNKLINE_MAX_ATTEMPTS='3'\n")
    assert load().public_url == "http://up:1"
    Path(".env").write_text("TRUNKLINE_PUBLIC_URL=http://file:2\n")
    assert (load().public_url, load().environment.max_attempts) == ("http://file:2", 3)
    monkeypatch.setenv("TRUNKLINE_PUBLIC_URL", "http://variable:3")
    assert load().public_url == "http://variable:3"


def test_every_setting_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    contents = {
        "TRUNKLINE_DATABASE_URL": "postgresql+psycopg://me:canary-1@db/x",
        "TRUNKLINE_SECRET_KEY": "canary-2" * 8,
        "TRUNKLINE_AVANSER_PASSWORD": "canary 3 ",
        "TRUNKLINE_DELIVERY_BACKOFF": "1,2,3",
        "TRUNKLINE_MESSAGEMEDIA_MAX_PER_DAY_BY_CLASS": "GOLD=0",
    }
    monkeypatch.setenv("TRUNKLINE_AVANSER_USERNAME", "user")
    monkeypatch.setenv("TRUNKLINE_AVANSER_ACCOUNT_ID", "7xxx")
    for name, content in contents.items():
        (tmp_path / name).write_text(f"{content}\n")
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    settings = load()
    assert settings.database_url == contents["TRUNKLINE_DATABASE_URL"]
    assert [key.get_secret_value() for key in settings.secret_keys] == [contents["TRUNKLINE_SECRET_KEY"]]
    assert settings.upstreams["avanser"].password.get_secret_value() == "canary 3 "  # type: ignore[attr-defined]
    assert settings.environment.delivery_backoff == [1, 2, 3]
    assert settings.ceilings == {"class:messagemedia:GOLD": 0}
    assert "canary" not in repr(settings)


def test_what_is_wrong_with_a_file_is_named_with_the_other_faults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, content in {"empty": b"\n", "binary": b"\xff\xfe", "short": b"canary"}.items():
        (tmp_path / name).write_bytes(content)
    wrong = {
        "TRUNKLINE_DATABASE_URL_FILE": str(tmp_path / "missing"),
        "TRUNKLINE_BROKER_URL_FILE": str(tmp_path / "empty"),
        "TRUNKLINE_AVANSER_PASSWORD_FILE": str(tmp_path / "binary"),
        "TRUNKLINE_SECRET_KEY_FILE": str(tmp_path / "short"),
        "TRUNKLINE_REDIS_URL": "redis://one",
        "TRUNKLINE_REDIS_URL_FILE": str(tmp_path / "short"),
    }
    faults = faults_with(monkeypatch, **wrong)
    assert {fault.partition(":")[0] for fault in faults} == set(wrong) - {"TRUNKLINE_REDIS_URL"}
    assert "canary" not in "\n".join(faults)


def test_a_file_in_the_environment_beats_what_the_env_file_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path(".env").write_text("TRUNKLINE_PUBLIC_URL=http://file:2\nTRUNKLINE_BACKOFF_CAP_FILE=cap\n")
    Path("cap").write_text("30")
    (tmp_path / "url").write_text("http://secret:1\n")
    monkeypatch.setenv("TRUNKLINE_PUBLIC_URL_FILE", str(tmp_path / "url"))
    assert (load().public_url, load().environment.backoff_cap) == ("http://secret:1", 30)
    monkeypatch.setenv("TRUNKLINE_BACKOFF_CAP", "40")
    assert load().environment.backoff_cap == 40
