"""The embedded broker, as a real process: what Celery and the supervisor rely on."""

import importlib.util
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from kombu import Connection

from worker.embedded import BrokerMissing, BrokerNotReady, EmbeddedBroker

SOON = timedelta(seconds=60)


@contextmanager
def started(broker: EmbeddedBroker) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(broker.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        broker.wait_ready(SOON)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_message_goes_through_it_by_celerys_own_library(broker: EmbeddedBroker) -> None:
    with Connection(broker.broker_url) as sender, Connection(broker.broker_url) as receiver:
        queue = receiver.SimpleQueue("trunkline.avanser")
        sender.SimpleQueue("trunkline.avanser").put({"due": "avanser"})
        message = queue.get(block=True, timeout=SOON.total_seconds())
        message.ack()
    assert message.payload == {"due": "avanser"}


def test_what_it_acknowledged_is_there_again_after_it_was_killed(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "broker")
    with started(broker) as process, redis.Redis.from_url(broker.redis_url) as client:
        client.set("limits:avanser", "60")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not broker.is_ready()
    with started(broker), redis.Redis.from_url(broker.redis_url) as client:
        assert client.get("limits:avanser") == b"60"


def test_nobody_else_can_reach_it(broker: EmbeddedBroker) -> None:
    with redis.Redis.from_url(broker.redis_url) as client:
        assert client.config_get("port") == {"port": "0"}
    assert stat.S_IMODE(broker.socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(broker.socket.parent.stat().st_mode) == 0o700


def test_when_it_is_full_it_refuses_instead_of_dropping_a_queue(broker: EmbeddedBroker) -> None:
    with redis.Redis.from_url(broker.redis_url) as client:
        client.lpush("trunkline.avanser", "a hint")
        client.config_set("maxmemory", "1")
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.lpush("trunkline.avanser", "another")
        assert client.llen("trunkline.avanser") == 1


@pytest.mark.parametrize("name", ["with a space and %20", "x" * 120])
def test_it_works_in_any_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    broker = EmbeddedBroker(tmp_path / name)
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        with started(broker), Connection(broker.broker_url) as connection:
            connection.SimpleQueue("trunkline.avanser").put("a hint")
            with redis.Redis.from_url(broker.redis_url) as client:
                assert client.llen("trunkline.avanser") == 1
        assert (tmp_path / name / "appendonlydir").is_dir()


def test_a_short_socket_folder_that_is_not_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = EmbeddedBroker(tmp_path / ("x" * 120))
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        broker.socket.parent.symlink_to(tmp_path)
        with pytest.raises(PermissionError, match="someone else"):
            broker.command()


def test_a_server_left_behind_is_ended_and_the_next_one_finds_its_data(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "broker")
    with started(broker) as leftover:
        with redis.Redis.from_url(broker.redis_url) as client:
            client.set("limits:avanser", "60")
        assert broker.stop_leftover(SOON)
        assert leftover.wait(SOON.total_seconds()) == 0
    with started(broker), redis.Redis.from_url(broker.redis_url) as client:
        assert client.get("limits:avanser") == b"60"


def test_where_none_was_left_behind_there_is_nothing_to_end(tmp_path: Path) -> None:
    assert not EmbeddedBroker(tmp_path / "broker").stop_leftover(SOON)


def test_one_that_does_not_answer_is_not_waited_for_beyond_the_deadline(tmp_path: Path) -> None:
    with pytest.raises(BrokerNotReady, match="did not answer"):
        EmbeddedBroker(tmp_path / "broker").wait_ready(timedelta(milliseconds=30))


def test_where_there_is_no_wheel_the_message_names_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BrokerMissing, match="TRUNKLINE_BROKER_URL"):
        EmbeddedBroker(tmp_path / "broker").command()
