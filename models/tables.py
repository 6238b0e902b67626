"""All tables, imported once, so that the metadata is whole for migrations and for the test against drift."""

from models.act import Act
from models.base import Base
from models.batch import Batch
from models.call import Call
from models.counter import Count
from models.dead_letter import DeadLetter
from models.delivery import Delivery
from models.delivery_attempt import DeliveryAttempt
from models.endpoint import Endpoint
from models.event import Event
from models.heartbeat import Heartbeat
from models.inbox import Received
from models.lineage import Lineage
from models.message import Message
from models.number import Number
from models.outage import Outage
from models.pulse import Pulse
from models.reconciliation import Reconciliation
from models.request import Request
from models.requester import ApiKey, Requester
from models.reservation import Reservation
from models.sign_in import SignInFailure
from models.spending import Spent
from models.stock_watch import StockWatch
from models.sweep import Sweep, SweepOutcome
from models.tally import Tally
from models.upstream import Pause
from models.user import User

__all__ = [
    "Act",
    "ApiKey",
    "Base",
    "Batch",
    "Call",
    "Count",
    "DeadLetter",
    "Delivery",
    "DeliveryAttempt",
    "Endpoint",
    "Event",
    "Heartbeat",
    "Lineage",
    "Message",
    "Number",
    "Outage",
    "Pause",
    "Pulse",
    "Received",
    "Reconciliation",
    "Request",
    "Requester",
    "Reservation",
    "SignInFailure",
    "Spent",
    "StockWatch",
    "Sweep",
    "SweepOutcome",
    "Tally",
    "User",
]
