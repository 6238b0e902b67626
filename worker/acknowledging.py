"""Acknowledging a message, also to a broker that does not answer."""

from __future__ import annotations

from typing import Any

import celery.worker.request
from kombu.transport import virtual


class Request(celery.worker.request.Request):
    """A message that a worker has taken. Where it cannot be acknowledged its place among the prefetched is free all
    the same.

    kombu 5.7 over Redis keeps the place for as long as the connection lives, which a broker that only stood still does
    not end: after as many such messages as it has children, a worker takes none any more, and looks well. The broker
    gives the message out again when its time is up, which does a hint no harm.
    """

    message: Any

    def acknowledge(self) -> None:
        super().acknowledge()
        places = getattr(self.message.channel, "qos", None)
        if not self.message.acknowledged and isinstance(places, virtual.QoS):
            virtual.QoS.ack(places, self.message.delivery_tag)
