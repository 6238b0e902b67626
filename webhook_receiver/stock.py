"""An upstream's live stock over HTTP: what could be ordered now, in one form for all upstreams."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Annotated

import flask
from flask.typing import ResponseReturnValue
from pydantic import ConfigDict, Field

from models.requester import Caller, Scope
from webhook_receiver import schemas
from webhook_receiver.context import here
from webhook_receiver.operations import Answer, Api
from webhook_receiver.problems import Problem, bad_parameters
from webhook_receiver.queries import Query
from worker import inquiry
from worker.settings import SettingsError
from worker.upstreams import DIALECTS
from worker.upstreams.base import BadQuery, Unavailable, WrongAccount

ANSWER_WITHIN = timedelta(seconds=10)
"""A person waits for this, and a thread of ours with them."""

stock = Api("stock")


class StockQuery(Query):
    """Every other parameter is the upstream's own and handed on as it is, such as `country` and `szu`."""

    model_config = ConfigDict(extra="allow")

    upstream: Annotated[str, Field(json_schema_extra={"enum": list(DIALECTS)})]


@stock.operation(
    "GET",
    "/v1/stock",
    Scope.READ,
    {200: Answer(schemas.Page[schemas.StockShape])},
    query=StockQuery,
    problems=(502, 503),
)
def list_stock(_caller: Caller, query: StockQuery) -> ResponseReturnValue:
    """Numbers that an upstream could sell now, asked of it now.

    Parameters besides `upstream` are that upstream's own: for AVANSER `country`, `szu` and so on. 422 names the one
    that the upstream cannot be asked, or `upstream` where it shows no stock.
    """
    if query.upstream not in DIALECTS:
        raise bad_parameters({"upstream": f"must be one of {', '.join(DIALECTS)}"})
    try:
        rows = inquiry.stock(query.upstream, here().settings, query.model_extra or {}, ANSWER_WITHIN)
    except SettingsError:
        raise bad_parameters({"upstream": f"{query.upstream} is not set up here"}) from None
    except BadQuery as error:
        raise bad_parameters({error.parameter or "upstream": str(error)}) from None
    except WrongAccount:
        detail = f"{query.upstream} answered for an account that is not ours."
        raise Problem(HTTPStatus.BAD_GATEWAY, "wrong_account", detail) from None
    except Unavailable as error:
        headers = {} if error.retry_after is None else {"Retry-After": str(int(error.retry_after.total_seconds()) + 1)}
        code = "over_limit" if error.reason == "over_limit" else "upstream_unavailable"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, code, f"{query.upstream}: {error}.", headers=headers) from None
    return flask.jsonify(data=[inquiry.view(row) for row in rows], next_cursor=None)
