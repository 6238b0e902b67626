"""The script of a run: how slow, how faulty and how well stocked the simulated upstreams are.

`GET /_sandbox` shows it, `PUT /_sandbox` replaces it (what is left out takes its default). Times are seconds
unless the name says otherwise. Every chance is drawn from `seed` and the order's own custom_id (its place in the
run where it has none), so a run repeats whatever order its calls arrive in.

    {"seed": 7,
     "latency_ms": {"min": 20, "max": 80},
     "callback": {"delay": 0.3, "jitter": 0.1, "attempts": 8, "method": "POST"},
     "avanser": {"stock": "default", "strict_private": ["AU/MOBILE"]},
     "telmetrics": {"stock": "default", "rename": "always"},
     "messagemedia": {"stock": "default", "limit": 100, "spelling": "digits"},
     "faults": [
       {"fault": "timeout_after_effect", "share": 0.05, "seconds": 20},
       {"fault": "rate_limited", "times": 10, "retry_after": 2},
       {"fault": "error_after_effect", "status": 502, "times_per_order": 1, "match": {"custom_id": "dealer-1*"}},
       {"fault": "list_lags", "seconds": 5},
       {"fault": "reset_before_effect", "on": ["look_up"], "times": 3}]}

A rule strikes a call when its `upstream`, `on` and `match` (shell patterns; all that are given must fit) do, its
`times` (in all) and `times_per_order` are not used up, and the draw falls under `share`. Of the faults of an
*answer* the first rule that strikes wins; faults of *marks* add up.
"""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from worker.sandbox.avanser.blocks import StockScript
from worker.sandbox.messagemedia.stock import MessageMediaScript
from worker.sandbox.telmetrics.stock import TelmetricsScript


class Fault(StrEnum):
    # Answers: one a call.
    REFUSED = "refused"  # `status` (422) and `message`, nothing done
    RATE_LIMITED = "rate_limited"  # 429 with Retry-After: `retry_after` seconds, a date with `retry_after_as_date`
    WRONG_CREDENTIALS = "wrong_credentials"  # 401, as though the password had been changed
    OUT_OF_STOCK = "out_of_stock"  # as though no number were left
    TAKEN_MEANWHILE = "taken_meanwhile"  # as though another customer had been quicker
    ERROR_BEFORE_EFFECT = "error_before_effect"  # `status` (503) from a proxy, nothing done
    ERROR_AFTER_EFFECT = "error_after_effect"  # `status` (502) from a proxy, the order stands
    TIMEOUT_BEFORE_EFFECT = "timeout_before_effect"  # silent for `seconds`, then hung up, nothing done
    TIMEOUT_AFTER_EFFECT = "timeout_after_effect"  # the order stands at once, the answer comes `seconds` later
    TIMEOUT_THEN_EFFECT = "timeout_then_effect"  # silent for `seconds`, and only then is the order taken
    RESET_BEFORE_EFFECT = "reset_before_effect"  # TCP reset, nothing done
    RESET_AFTER_EFFECT = "reset_after_effect"  # TCP reset, the order stands
    UNREADABLE_AFTER_EFFECT = "unreadable_after_effect"  # 200 with half a JSON document, the order stands
    SLOW_BODY = "slow_body"  # the order stands, the body trickles for `seconds`
    # Marks: as many as strike.
    WRONG_ACCOUNT = "wrong_account"  # done, and answered, on an account that is not ours
    LIST_LAGS = "list_lags"  # lists show the order only after `seconds`
    CALLBACK_EARLY = "callback_early"  # before the acknowledgement
    CALLBACK_LATE = "callback_late"  # `seconds` after the order completed
    CALLBACK_TWICE = "callback_twice"
    CALLBACK_NEVER = "callback_never"
    CALLBACK_BY_GET = "callback_by_get"
    CALLBACK_FOREIGN_IDS = "callback_foreign_ids"  # request_id, custom_id and custom_group of somebody else
    CALLBACK_FAILED = "callback_failed"  # the order fails afterwards: status `failed` with `message`


ANSWERS = frozenset(list(Fault)[: list(Fault).index(Fault.WRONG_ACCOUNT)])


class Operation(StrEnum):
    PROVISION = "provision"
    UPDATE = "update"
    RELEASE = "release"
    SEARCH = "search"  # of stock
    LOOK_UP = "look_up"  # lists, and reads of one thing


ORDERS = (Operation.PROVISION, Operation.UPDATE, Operation.RELEASE)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Strict):
    """Shell patterns (`dealer-*`); a field left empty fits everything. `number` is the number asked for."""

    custom_id: str = ""
    custom_group: str = ""
    number: str = ""
    name: str = ""


class Rule(_Strict):
    fault: Fault
    upstream: str = "avanser"
    on: tuple[Operation, ...] = ORDERS
    match: Match = Match()
    share: float = Field(default=1.0, ge=0, le=1)
    times: int | None = Field(default=None, ge=0)
    times_per_order: int | None = Field(default=None, ge=0)
    seconds: float = Field(default=5.0, ge=0, le=3_600)
    status: int | None = Field(default=None, ge=400, le=599)
    message: str = ""
    retry_after: int = Field(default=1, ge=0)
    retry_after_as_date: bool = False
    as_200: bool | None = None  # a refusal by HTTP 200 and `response.code`; null: as the script says

    @field_validator("fault", mode="before")
    @classmethod
    def _name_the_unknown(cls, value: object) -> object:
        if value not in list(Fault):
            raise ValueError(f"unknown fault {value!r}; known: {', '.join(Fault)}")
        return value


class Latency(_Strict):
    """How long every upstream call takes, drawn evenly between the two."""

    min: float = Field(default=0, ge=0)
    max: float = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _are_in_order(self) -> "Latency":
        if self.min > self.max:
            raise ValueError("min is above max")
        return self


class CallbackScript(_Strict):
    """How orders complete. Real AVANSER takes about 7 minutes; whether it ever repeats a callback is undocumented,
    so `attempts` 1 is as true as the default."""

    delay: float = Field(default=0.3, ge=0)
    jitter: float = Field(default=0.1, ge=0)  # up to this much more or less
    method: Literal["POST", "GET"] = "POST"  # AVANSER's page says GET in prose and POST in its examples
    attempts: int = Field(default=10, ge=1)  # until a 2xx
    backoff: float = Field(default=0.5, ge=0)  # before the second attempt; doubles
    backoff_cap: float = Field(default=15, ge=0)
    timeout: float = Field(default=10, gt=0)
    foreign_request_id_share: float = Field(default=2 / 3, ge=0, le=1)  # two of the page's three examples


class Script(_Strict):
    seed: int = 1
    latency_ms: Latency = Latency()
    callback: CallbackScript = CallbackScript()
    refusals_as_200: bool = False  # answer refusals by HTTP 200 and `response.code`
    avanser: StockScript = StockScript()
    telmetrics: TelmetricsScript = TelmetricsScript()
    messagemedia: MessageMediaScript = MessageMediaScript()
    faults: tuple[Rule, ...] = ()
