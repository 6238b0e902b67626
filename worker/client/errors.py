"""What may go wrong when Trunkline is asked, named for what the caller does next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class TrunklineError(Exception):
    """Of all that the client raises on its own account, the common ground."""


class Refused(TrunklineError):
    """Trunkline answered, and not with what was asked for. Asking the same again will not help.

    `code` is stable, for programs; `errors` names each wrong place (`pointer`, `detail`, and of a file `line`).
    """

    def __init__(
        self, status: int, code: str, detail: str, errors: Sequence[Mapping[str, Any]] = (), more: Any = None
    ) -> None:
        places = "".join(f"\n  {_place(one)}: {one.get('detail')}" for one in errors)
        super().__init__(f"{status} {code}: {detail}{places}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = [dict(one) for one in errors]
        self.problem: dict[str, Any] = dict(more or {})


class NotAllowed(Refused):
    """The key is wrong, has ended, or lacks the scope: 401 or 403."""


class NotFound(Refused):
    """There is nothing there, or nothing of yours: 404."""


class NotNow(Refused):
    """It is in no state for that: 409."""


class Invalid(Refused):
    """What was sent is wrong: 400, 413, 415 or 422. `errors` says where."""


class KeyReused(Invalid):
    """The idempotency key was used before, with another body. Nothing was taken."""


class Unanswered(TrunklineError):
    """No usable answer came until the deadline. What was asked for may have been done.

    After a `submit`, call it again with the same request and this `idempotency_key`: no second one is taken. After
    a `submit_batch`, send the same file again. After `cancel`, `retry` and `resolve`, look first.
    """

    def __init__(self, what: str, last: str, idempotency_key: str | None = None) -> None:
        key = "" if idempotency_key is None else f"; idempotency key {idempotency_key}"
        super().__init__(f"{what} was not answered ({last}); it may have been done{key}")
        self.last = last
        self.idempotency_key = idempotency_key


class StillOpen(TrunklineError):
    """The time to wait is over, and it has not ended. `last` is the request or the batch as it was seen last."""

    def __init__(self, last: Mapping[str, Any]) -> None:
        super().__init__(f"{last['id']} is still {last['state']}; wait for it again, or for its result at an endpoint")
        self.last = last


class Forged(TrunklineError):
    """The webhook is not from Trunkline, was changed on its way, or is older than five minutes. Answer it with 400."""


KINDS: dict[int, type[Refused]] = {
    400: Invalid,
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: NotNow,
    413: Invalid,
    415: Invalid,
    422: Invalid,
}


def refusal(status: int, body: Any) -> Refused:
    """The error for an answer; `body` is None where it was no JSON object."""
    if not isinstance(body, Mapping) or "code" not in body:
        return Refused(
            status, "not_trunkline", "The answer is none of Trunkline's. Check base_url and what stands before it."
        )
    code = str(body["code"])
    kind = KeyReused if code == "idempotency_key_reused" else KINDS.get(status, Refused)
    return kind(status, code, str(body.get("detail", "")), body.get("errors", ()), body)


def _place(error: Mapping[str, Any]) -> str:
    line = f"line {error['line']} " if error.get("line") else ""
    return line + str(error.get("parameter") or error.get("pointer") or "")
