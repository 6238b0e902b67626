"""TLS to the broker: proved in any case, by the authority that is set; and our own certificate, where one is asked."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from kombu.exceptions import OperationalError
from kombu.transport.pyamqp import SSLTransport

from tests.celery_app import forget_connections
from tests.receiver import settings_for
from tests.tls import Authority, front
from worker.app import configure
from worker.settings import Settings, SettingsError


class Tls:
    """Makes settings with a broker over TLS."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch, self._folder = monkeypatch, folder
        self.ours, self.another = Authority(folder, "ours"), Authority(folder, "another")

    def settings(self, url: str, **files: Path) -> Settings:
        database, given = f"sqlite:///{self._folder / 'db'}", {name: str(path) for name, path in files.items()}
        return settings_for(self._monkeypatch, database, str(self._folder), **{"TRUNKLINE_BROKER_URL": url} | given)


@pytest.fixture
def tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Tls]:
    yield Tls(monkeypatch, tmp_path)
    monkeypatch.undo()
    configure(settings_for(monkeypatch, f"sqlite:///{tmp_path / 'db'}", str(tmp_path)))
    forget_connections()


def over_tls(redis_url: str, port: int, host: str = "localhost") -> str:
    return f"rediss://:{urlsplit(redis_url).password}@{host}:{port}/0"


def can_send(settings: Settings) -> bool:
    """Whether Celery's connection, and that of the limits, get through."""
    assert settings.redis_url is not None
    through = []
    try:
        with configure(settings).connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
            channel: Any = connection.default_channel
            channel.client.ping()
        through.append(True)
    except (OperationalError, redis.ConnectionError, ssl.SSLError):
        through.append(False)
    try:
        with redis.Redis.from_url(settings.redis_url) as client:
            through.append(bool(client.ping()))
    except redis.ConnectionError:
        through.append(False)
    assert len(set(through)) == 1, "one of them is let through, and the other is not"
    return through[0]


def test_a_broker_is_believed_that_our_authority_has_signed_and_no_other(tls: Tls, redis_url: str) -> None:
    target = urlsplit(redis_url).port or 0
    with front(target, tls.ours.certify("localhost")) as port:
        url = over_tls(redis_url, port)
        assert can_send(tls.settings(url, TRUNKLINE_BROKER_CA=tls.ours.cert))
        assert not can_send(tls.settings(url, TRUNKLINE_BROKER_CA=tls.another.cert))


def test_without_an_authority_of_ours_those_of_the_system_count(tls: Tls, redis_url: str) -> None:
    with front(urlsplit(redis_url).port or 0, tls.ours.certify("localhost")) as port:
        assert not can_send(tls.settings(over_tls(redis_url, port)))


def test_a_broker_of_another_name_is_not_believed(tls: Tls, redis_url: str) -> None:
    with front(urlsplit(redis_url).port or 0, tls.ours.certify("elsewhere.example")) as port:
        assert not can_send(tls.settings(over_tls(redis_url, port), TRUNKLINE_BROKER_CA=tls.ours.cert))


def test_our_own_certificate_is_shown_to_a_broker_that_asks_for_it(tls: Tls, redis_url: str) -> None:
    mine = tls.ours.certify("trunkline")
    with front(urlsplit(redis_url).port or 0, tls.ours.certify("localhost"), clients_of=tls.ours) as port:
        url = over_tls(redis_url, port)
        assert not can_send(tls.settings(url, TRUNKLINE_BROKER_CA=tls.ours.cert))
        files = {"TRUNKLINE_BROKER_CERT": mine.cert, "TRUNKLINE_BROKER_KEY": mine.key}
        assert can_send(tls.settings(url, TRUNKLINE_BROKER_CA=tls.ours.cert, **files))


def test_rabbitmq_is_given_the_same_files_and_its_name_is_compared(tls: Tls) -> None:
    mine = tls.ours.certify("trunkline")
    files = {"TRUNKLINE_BROKER_CERT": mine.cert, "TRUNKLINE_BROKER_KEY": mine.key}
    settings = tls.settings("amqps://me:pw@mq.example//", TRUNKLINE_BROKER_CA=tls.ours.cert, **files)
    connection = configure(settings).connection_for_write()
    assert isinstance(connection.transport, SSLTransport)
    assert connection.ssl == {
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": None,
        "ca_certs": str(tls.ours.cert),
        "certfile": str(mine.cert),
        "keyfile": str(mine.key),
    }


def test_a_broker_without_tls_gets_none(tls: Tls) -> None:
    settings = tls.settings("amqp://me:pw@mq.example//", TRUNKLINE_BROKER_CA=tls.ours.cert)
    assert not configure(settings).connection_for_write().ssl


@pytest.mark.parametrize("variable", ["TRUNKLINE_BROKER_CA", "TRUNKLINE_BROKER_CERT", "TRUNKLINE_BROKER_KEY"])
def test_a_file_that_is_not_there_is_named(tls: Tls, tmp_path: Path, variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        tls.settings("rediss://mq.example/0", **{variable: tmp_path / "nowhere.pem"})


def test_a_key_without_its_certificate_is_a_fault(tls: Tls) -> None:
    with pytest.raises(SettingsError, match="TRUNKLINE_BROKER_CERT"):
        tls.settings("rediss://mq.example/0", TRUNKLINE_BROKER_KEY=tls.ours.cert)
