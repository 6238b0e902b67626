"""The Celery tasks: each calls one function, and says so when there is more to do."""

from __future__ import annotations

from worker import deliver as delivering
from worker import hints, relay, runtime, workflow
from worker import inbox as reading
from worker.app import app


@app.task(name="trunkline.advance")
def advance(upstream: str) -> None:
    """Bring forward what is due at an upstream."""
    if workflow.advance(runtime.current(), upstream):
        hints.upstream(upstream)


@app.task(name="trunkline.read_inbox")
def read_inbox() -> None:
    """Apply what upstreams sent."""
    if reading.read_inbox(runtime.current()):
        hints.inbox()
    hints.deliveries()


@app.task(name="trunkline.deliver")
def deliver() -> None:
    """Send results that are due."""
    if delivering.deliver(runtime.current()):
        hints.deliveries()


@app.task(name="trunkline.relay")
def tick() -> None:
    """Find what is due and not hinted."""
    relay.tick(runtime.current())
