"""A worker's place for a message, when the broker does not answer its acknowledgement."""

from __future__ import annotations

import queue
from typing import Any

from kombu import Connection, Queue

from tests import services
from worker.acknowledging import Request
from worker.app import app
from worker.tasks import advance


def test_a_place_is_free_again_though_the_broker_did_not_answer(redis_server: services.Server, redis_url: str) -> None:
    assert advance.Request == "worker.acknowledging:Request"
    options = {"socket_timeout": 0.2, "retry_policy": {"max_retries": 0}}
    taken: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with Connection(redis_url, transport_options=options) as connection:
        channel: Any = connection.channel()
        channel.basic_qos(0, 1, False)
        where = Queue("places", routing_key="places")
        with connection.Producer(channel) as producer:
            for _ in range(2):
                producer.publish({}, routing_key="places", declare=[where], headers={"id": "1", "task": advance.name})
        with connection.Consumer([where], channel=channel, on_message=taken.put):
            connection.drain_events(timeout=5)
            message = taken.get_nowait()
            assert not channel.qos.can_consume()
            request = Request(
                message, app=app, task=advance, headers=message.headers, body=([], {}, {}), decoded=True,
                on_ack=message.ack_log_error, connection_errors=connection.connection_errors,
            )  # fmt: skip
            redis_server.freeze()
            try:
                request.acknowledge()
            finally:
                redis_server.thaw()
            assert not message.acknowledged
            assert channel.qos.can_consume(), "it takes no more for ever"
            connection.drain_events(timeout=5)
            taken.get_nowait().ack()
            assert channel.qos.can_consume()
