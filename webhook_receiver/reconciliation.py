"""Reconciliation over HTTP: what the last comparison with each upstream has shown."""

from __future__ import annotations

from collections import Counter
from typing import Any

import flask
from flask.typing import ResponseReturnValue

from models.base import read
from models.reconciliation import FindingKind, Reconciliation, reports, view
from models.requester import DEFAULT_REQUESTER, Caller, Scope
from webhook_receiver import schemas
from webhook_receiver.context import here
from webhook_receiver.operations import Answer, Api

reconciliation = Api("reconciliation")


@reconciliation.operation(
    "GET", "/v1/reconciliation", Scope.READ, {200: Answer(schemas.Page[schemas.ReconciliationShape])}
)
def list_reconciliations(caller: Caller) -> ResponseReturnValue:
    """The last comparison with each upstream: our books against what it says is ours.

    It is made once a day (`TRUNKLINE_RECONCILE_INTERVAL`) and by `trunkline reconcile`. You see what is about your own
    numbers and requests; what belongs to nobody is seen by the requester `default`. At most 1,000 findings of a kind
    are kept.
    """
    rows = read(here().engine, reports)
    return flask.jsonify(data=[_for(caller, row) for row in rows], next_cursor=None)


def _for(caller: Caller, row: Reconciliation) -> dict[str, Any]:
    allowed = {caller.requester} | ({None} if caller.requester == DEFAULT_REQUESTER else set())
    findings = [one for one in row.findings if one["requester"] in allowed]
    found = Counter(one["kind"] for one in findings)
    return view(row) | {"findings": findings, "counts": {kind.value: found[kind.value] for kind in FindingKind}}
