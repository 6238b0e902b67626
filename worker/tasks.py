"""The Celery tasks: each gives one function to its lane, which does it for as long as there is more to do."""

from __future__ import annotations

from typing import Any

from celery.signals import task_postrun, task_prerun, worker_process_shutdown

from models.request import Priority
from worker import deliver as delivering
from worker import enqueued, hints, logs, relay, runtime, stock, sweeping, tracing, workflow
from worker import inbox as reading
from worker.app import app
from worker.enqueued import Message
from worker.reconciling import run as reconciling


@app.task(name="trunkline.advance")
def advance(upstream: str) -> None:
    """Bring forward what is due at an upstream."""
    here = runtime.current()

    def work() -> bool:
        more = workflow.advance(here, upstream)
        return stock.look(here, upstream) or more

    def hurry() -> bool:
        return workflow.advance(here, upstream, [Priority.SINGLE])

    def call_others() -> None:
        hints.upstream(upstream)

    with logs.about(upstream=upstream):
        if not here.lanes.run(upstream, work, call_others):
            # A bulk job has all of them: there is one more, which it never gets.
            here.lanes.run(f"{upstream}, single", hurry, call_others)


@app.task(name="trunkline.read_inbox")
def read_inbox() -> None:
    """Apply what upstreams sent. In the task itself: it waits for nobody but the database."""
    if reading.read_inbox(runtime.current()):
        hints.inbox()
    hints.deliveries()


@app.task(name="trunkline.deliver")
def deliver() -> None:
    """Send results that are due."""
    here = runtime.current()

    here.lanes.run("deliveries", lambda: delivering.deliver(here), hints.deliveries)


# Given out again where its child died: unlike a hint, it is the data.
@app.task(name="trunkline.submit", reject_on_worker_lost=True)
def submit(*args: Any, **given: Any) -> None:
    """Take a request that a backend put on the queue: `submit(request, idempotency_key=…, requester="default")`."""
    here = runtime.current()
    enqueued.take_or_bury(here.engine, here.settings, here.clock, Message.of(args, given))


@app.task(name="trunkline.relay")
def tick() -> None:
    """Find what is due and not hinted; begin the daily comparison with an upstream where it is time; go on with
    sweeps."""
    here = runtime.current()
    relay.tick(here)
    reconciling.begin_due(here)
    sweeping.begin_due(here)


@task_prerun.connect
def begin(task_id: str, **_: Any) -> None:
    """Lines of the log name the hint that the work was begun for."""
    logs.forget()
    logs.say(hint=task_id)


@task_postrun.connect
def end(**_: Any) -> None:
    logs.forget()


@worker_process_shutdown.connect
def finish(**_: Any) -> None:
    """Let a process that is told to stop write down the answers that it waits for."""
    runtime.finish()
    tracing.flush()
