"""The Celery application: its queues, and the settings that keep a hint from doing harm.

A message names a queue in which something is due and carries no data, so one that is lost, doubled, late or out
of order costs time and nothing else: what is due stands in the database. But for those that backends put on the queue
themselves: see `worker.enqueued`.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import celery
from celery import Celery
from kombu import Queue

from worker.redis_client import KEPT_ALIVE, SENTINEL
from worker.settings import Settings
from worker.upstream_settings import UPSTREAMS

UPSTREAM_QUEUES = {name: f"trunkline.{name}" for name in UPSTREAMS}
"""One for each upstream, so that no upstream waits for another's slowness."""

INBOX = "trunkline.inbox"
DELIVERIES = "trunkline.deliveries"
RELAY = "trunkline.relay"

SUBMIT = "trunkline.submit"
"""Where backends put requests: the one queue whose messages are data."""

QUEUES = (*UPSTREAM_QUEUES.values(), INBOX, DELIVERIES, RELAY, SUBMIT)

LEAST_VISIBILITY = timedelta(hours=1)
"""When Redis gives an unacknowledged message to another worker. Longer than any lease: see `check_order`."""

RELAY_INTERVAL = timedelta(seconds=1)

ANSWER = timedelta(seconds=10)
"""How long the broker may take to answer before we take the connection for dead."""

SILENCE = timedelta(seconds=5)
"""How long a Redis may say nothing before it is asked, or a worker that listens to it connects anew: one that was cut
off closes no connection."""

LONGEST_TASK = timedelta(minutes=5)
"""For tasks that order nothing: a result that is sent twice, or a callback that is read twice, does no harm."""


class Task(celery.Task[Any, Any]):
    """Every task of ours."""

    Request = "worker.acknowledging:Request"


app: Celery[Any] = Celery("trunkline", include=["worker.tasks"], task_cls=Task)

time_limits: dict[str, timedelta] = {}
"""By queue: when a worker's child that hangs is killed. Set by `configure`; a hint carries it along."""


class WrongOrder(Exception):
    """The time limits contradict each other; the message says which."""


def configure(settings: Settings) -> Celery:
    """Point the application at the broker of these settings. Raises WrongOrder."""
    visibility = max([LEAST_VISIBILITY, *(upstream.lease * 2 for upstream in settings.upstreams.values())])
    check_order(settings, visibility)
    time_limits.update({UPSTREAM_QUEUES[name]: upstream.task_limit for name, upstream in settings.upstreams.items()})
    time_limits.update(dict.fromkeys((INBOX, DELIVERIES, RELAY), LONGEST_TASK))
    app.conf.update(
        broker_url=settings.broker_url,
        broker_use_ssl=settings.amqp_tls,
        broker_transport_options=_transport_options(settings, visibility),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # Beside quorum queues Celery makes 28 more, for messages with a delay. We send none: so the cheap kind.
        broker_native_delayed_delivery_queue_type="classic",
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        # A message whose worker died is not given out again by Celery: with a task that kills its worker that
        # would go on for ever. The row's lease ends, and it is looked up.
        task_reject_on_worker_lost=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_prefetch_multiplier=1,
        task_create_missing_queues=False,
        task_queues=[_queue(name, settings.broker_url) for name in QUEUES],
        task_default_queue=RELAY,
        worker_soft_shutdown_timeout=max(
            u.answer_within + u.slack for u in settings.upstreams.values()
        ).total_seconds(),
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        beat_schedule={
            "relay": {
                "task": "trunkline.relay",
                "schedule": RELAY_INTERVAL,
                # Without `expires`: that is a moment by the relay's clock, and the worker's may be another. Ticks do
                # not pile up, since `worker.beat` counts them.
                "options": {
                    "queue": RELAY,
                    "time_limit": LONGEST_TASK.total_seconds(),
                },
            }
        },
    )
    return app


def check_order(settings: Settings, visibility: timedelta) -> None:
    """HTTP deadline < task limit < lease < visibility time-out, or somebody acts on a row that another still holds."""
    for name, upstream in settings.upstreams.items():
        steps = (upstream.answer_within, upstream.task_limit, upstream.lease, visibility)
        if not all(earlier < later for earlier, later in pairwise(steps)):
            raise WrongOrder(
                f"{name}: time-out, task limit, lease and visibility time-out must ascend, but are"
                f" {', '.join(str(step) for step in steps)}"
            )


def _transport_options(settings: Settings, visibility: timedelta) -> dict[str, Any]:
    if settings.broker_url.startswith("amqp"):
        return {"confirm_publish": True}
    how = {
        "visibility_timeout": int(visibility.total_seconds()),
        "socket_timeout": ANSWER.total_seconds(),
        "socket_connect_timeout": ANSWER.total_seconds(),
        "socket_keepalive": True,
        "socket_keepalive_options": KEPT_ALIVE,
        "health_check_interval": SILENCE.total_seconds(),
        "unacked_restore_throttle": 1,
    }
    return how | (settings.sentinel_options if settings.broker_url.startswith(SENTINEL) else {})


def _queue(name: str, broker_url: str) -> Queue:
    if broker_url.startswith("amqp"):
        return Queue(name, routing_key=name, queue_arguments={"x-queue-type": "quorum"})
    return Queue(name, routing_key=name)
