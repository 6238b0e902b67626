"""What every upstream answers to: two questions, five answers, two failures.

`submit` orders; `look_up` asks what became of an order. An upstream that answers at once, one that calls back
minutes later and one that wants several steps differ only in which answers they give. A client translates
between our order and the vendor's words, and does nothing else: no state, no database, no retry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from models.request import Kind
from models.state import Reason
from worker.fault import Fault


@dataclass(frozen=True, slots=True)
class Candidate:
    """A number that could be ordered by the upstream's own id of it. `number` is E.164."""

    reference: str
    number: str


Pick = Callable[[Sequence[Candidate]], Awaitable[Candidate | None]]
"""Choose the number to order: the first of these, best first, that no other order of ours is after.

It is written down before this returns, with its reference, so that whoever takes over after a crash asks for the
same one. None: all of them are spoken for. Raises Unavailable where the order may not be sent any more.
"""


@dataclass(frozen=True, slots=True)
class Order:
    """What an upstream gets to see of a request."""

    request_id: UUID
    kind: Kind
    spec: Mapping[str, Any]  # the upstream's own body, as the requester gave it and as we found it good
    number: str | None  # E.164: what to update or release; for a repeated order, the number to ask for again
    upstream_reference: str | None  # what the upstream, or our own `pick`, called this order before
    custom_id: str | None
    custom_group: str | None
    callback_uri: str
    call_uri: str
    sms_uri: str
    pick: Pick
    number_reference: str | None = None  # to update or release: the upstream's own id of the number, where we know it
    repeated: bool = False  # an earlier attempt may have reached the upstream: a "taken" may mean "taken by us"


@dataclass(frozen=True, slots=True)
class Completed:
    """It is done. `number` is E.164; `pool` is the stock that it was taken from, where the upstream tells."""

    number: str | None = None
    reference: str | None = None
    detail: str | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The upstream has the order and will say more later."""

    number: str | None = None
    reference: str | None = None
    detail: str | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The upstream said no: nothing was bought, and asking the same again would get the same."""

    reason: str = Reason.UPSTREAM_REJECTED
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Something was learnt that settles nothing."""

    detail: str | None = None


@dataclass(frozen=True, slots=True)
class NotFound:
    """The upstream shows no trace of the order. Its lists may lag: once is not proof."""


Answer = Completed | Accepted | Rejected | Progress | NotFound


class Unavailable(Exception):
    """Nothing was done: asking again is safe.

    `reason` is `upstream_unavailable`, or `over_limit` where the upstream asked us to slow down; `retry_after`
    is how long it asked us to wait. `is_failure` False: it does not count towards the most attempts.
    """

    def __init__(
        self,
        detail: str,
        *,
        reason: Reason = Reason.UPSTREAM_UNAVAILABLE,
        retry_after: timedelta | None = None,
        is_failure: bool = True,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.retry_after = retry_after
        self.counts = int(is_failure and reason is not Reason.OVER_LIMIT)


class TooLate(Unavailable):
    """Nothing was sent, for the answer could have come when the claim was over. Ours to mend, so it counts as no
    failure: no request may fail because a machine of ours was busy."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, is_failure=False)


class Stopped(Unavailable):
    """Nothing was sent, for the upstream was paused between the claim and the sending. No failure of the request's."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, reason=Reason.UPSTREAM_PAUSED, is_failure=False)


class OutcomeUnknown(Exception):
    """It may have been done: look before asking again."""


class Undecidable(OutcomeUnknown):
    """Evidence there is, and it is ambiguous or contradicts itself: looking again would not help, a person decides."""


class Misconfigured(Unavailable):
    """Nothing was done, and nothing will be until a person acts: credentials refused. Pauses the upstream."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, reason=Reason.UPSTREAM_PAUSED)


class WrongAccount(Exception):
    """The upstream answered for an account that is not ours. Pauses the upstream and holds the request."""


class BadQuery(Exception):
    """The upstream's stock cannot be asked this; the message says why, and `parameter` which part of the query, where
    it is one."""

    def __init__(self, detail: str, parameter: str | None = None) -> None:
        super().__init__(detail)
        self.parameter = parameter


class Unreadable(Exception):
    """What an upstream sent us is not of the form that it documents."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """An HTTP request from an upstream, as the inbox kept it. `query` is the raw query string."""

    method: str
    query: str
    content_type: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class FinishedCall:
    """A call on one of our numbers, translated. Numbers are E.164 where they can be read as such, else as sent."""

    reference: str  # the upstream's own id of the call
    number: str | None
    caller: str | None
    answer_point: str | None
    status: str | None
    duration: int | None  # seconds
    started_at: datetime | None
    started_at_raw: str | None
    parameters: Mapping[str, Any] = field(default_factory=dict)  # everything that came, known or not


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A text message to one of our numbers, translated. Numbers as in `FinishedCall`."""

    reference: str  # the upstream's own id of the message; a digest of what came where it gave none
    number: str | None
    sender: str | None
    text: str | None
    sent_at: datetime | None
    sent_at_raw: str | None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StockRow:
    """A number that could be ordered now. `number` is E.164."""

    number: str
    country: str | None
    region: str | None
    type: str | None
    pool: str | None = None
    classification: str | None = None  # what it costs, where the upstream says so
    capabilities: Sequence[str] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OwnedNumber:
    """A number that the upstream says is ours. `number` is E.164."""

    number: str
    reference: str | None  # the upstream's own id of it
    name: str | None = None
    custom_id: str | None = None
    custom_group: str | None = None
    order: UUID | None = None  # the request of ours that it carries the key of
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """A number as our books have it: what was asked for, with every update since. `number` is E.164."""

    number: str
    configuration: Mapping[str, Any]  # a provision's spec, merged with those of the updates
    custom_id: str | None = None
    custom_group: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that the upstream shows otherwise than it was asked for. No token and no secret stands in `shown`."""

    pointer: str  # into the body of PATCH /v1/numbers/{number}: `/spec/service/answer_point`, `/custom_id`
    asked: Any
    shown: Any


class Upstream(ABC):
    """A client of one vendor. Its methods may be called many at a time, on one event loop."""

    name: ClassVar[str]

    @abstractmethod
    async def submit(self, order: Order, deadline: timedelta) -> Answer:
        """Order it. Raises Unavailable, OutcomeUnknown, Undecidable, WrongAccount."""

    @abstractmethod
    async def look_up(self, order: Order, deadline: timedelta) -> Answer:
        """Ask what became of it. Raises Unavailable (also for a time-out: reading twice is safe), Undecidable,
        WrongAccount."""

    @abstractmethod
    async def stock(self, query: Mapping[str, str], deadline: timedelta) -> list[StockRow]:
        """What could be ordered. Raises Unavailable, WrongAccount, and BadQuery for what the upstream cannot be
        asked."""

    @abstractmethod
    async def owned(self, deadline: timedelta) -> list[OwnedNumber]:
        """All numbers that the upstream says are ours. Raises Unavailable, WrongAccount."""

    @abstractmethod
    async def check_access(self, deadline: timedelta) -> None:
        """Ask something that changes nothing, and return where we are let in, to our own account.

        Raises Unavailable (Misconfigured among it), WrongAccount.
        """

    @abstractmethod
    async def close(self) -> None:
        """Give connections back."""


class Dialect(ABC):
    """The vendor's words that need no connection: checking a spec, and reading what the vendor sends us."""

    name: ClassVar[str]
    home: ClassVar[str]  # ISO 3166: the country whose numbers are written there without a country code
    repeated_by_updates: ClassVar[Sequence[str]] = ()
    """Fields of a spec that every update must say again, or the upstream takes them for changed."""

    @abstractmethod
    def check(self, kind: Kind, spec: Mapping[str, Any]) -> list[Fault]:
        """What the vendor would refuse in this spec, found before anything is taken. Pointers start at `/spec`."""

    def price_class(self, spec: Mapping[str, Any]) -> str | None:
        """The dearest price class that this order may buy, in the vendor's words; None where it has none.

        For a spec that `check` found good.
        """
        return None

    def stock_query(self, spec: Mapping[str, Any]) -> Mapping[str, str] | None:
        """What to ask `Upstream.stock` to learn whether this order could be met; orders with the same query wait for
        the same stock, also where `stock` can only answer BadQuery. None: each order waits for itself.

        For a spec that `check` found good.
        """
        return None

    def stock_terms(self, spec: Mapping[str, Any]) -> Mapping[str, str]:
        """What else `is_met_by` goes by: orders that differ in it wait apart, so that none stands in another's way."""
        return {}

    def is_met_by(self, spec: Mapping[str, Any], row: StockRow) -> bool:
        """Whether this number in stock would do, beyond what `stock_query` asks for."""
        return True

    def drift(self, held: Held, shown: OwnedNumber) -> Sequence[Difference]:
        """Where the upstream's list shows this number otherwise than it was asked for.

        Only what was asked for and is shown is compared, each written in one way. None of it for a vendor whose list
        shows no configuration.
        """
        return ()

    def read_completion(self, incoming: Incoming) -> Answer:
        """What a completion callback says. Raises Unreadable."""
        raise Unreadable(f"{self.name} sends no completion callbacks")

    def read_calls(self, incoming: Incoming) -> Sequence[FinishedCall]:
        """The finished calls that an event tells of. Raises Unreadable."""
        raise Unreadable(f"{self.name} sends no calls")

    def read_messages(self, incoming: Incoming) -> Sequence[InboundMessage]:
        """The text messages that an event brings. Raises Unreadable."""
        raise Unreadable(f"{self.name} sends no messages")
