"""The rows of a request that has ended, or waits to be ordered, as SQL that writes any number of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.state import Reason, State

FILLED = (State.COMPLETED, State.FAILED, State.QUEUED)

BOUGHT, REFUSED = "Request completed successfully", "AVANSER answered 422: not allowed"

# One row for each request, with all that its rows in the tables are made of. Times are milliseconds since 1970, since
# ids are made of them; what happened when, after it was taken, is as measured with 300 ms and a callback after 1 s.
_REQUESTS = """
    (SELECT *,
            'filled-' || n AS custom_id,
            '+6138' || lpad(n::text, 7, '0') AS number,
            encode(sha256(('upstream' || n)::bytea), 'hex')::char(40) AS reference,
            '614' || lpad(n::text, 8, '0') AS answer_point,
            format('{"name": "filled-%%s", "service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"},'
                   ' "service": {"type": "transfer", "answer_point": "614%%s"}}', n, lpad(n::text, 8, '0')) AS spec,
            pg_temp.id_at(made, position, 1, n) AS id,
            pg_temp.id_at(called_back, position, 2, n) AS inbox_id,
            pg_temp.id_at(ended, position, 3, n) AS delivery_id,
            pg_temp.id_at(batch_made, 0, 4, batch) AS batch_id
       FROM (SELECT n, batch, batch_made, (n - 1) %% %(size)s + 1 AS position,
                    batch_made AS made, batch_made + 100 AS sent, batch_made + 700 AS answered,
                    batch_made + 1800 AS called_back, batch_made + 1840 AS ended, batch_made + 1950 AS told
               FROM (SELECT n, (n - 1) / %(size)s AS batch,
                            %(began)s + (n - 1) / %(size)s * %(every)s AS batch_made
                       FROM generate_series(%(first)s, %(last)s) AS n) AS numbered) AS timed
     OFFSET 0) AS one
"""  # OFFSET 0: else what is read of a row in several places is also calculated as often

ID_AT = """
    CREATE FUNCTION pg_temp.id_at(at bigint, place bigint, kind bigint, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN (lpad(to_hex((at << 16) | 28672 | place), 16, '0')
            || to_hex((-9223372036854775808) | (kind << 48) | n))::uuid
"""
"""A UUIDv7: 48 bits of time, the 7, 12 bits that sort those of one millisecond, and for what is random the kind of row
and its number, which are unique."""

_TIME = "to_timestamp({} / 1000::float8)"


def _at(name: str) -> str:
    return _TIME.format(f"one.{name}")


def _shown(name: str) -> str:
    """A time in the JSON of a request."""
    return f"""to_char({_at(name)} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


_BATCHES = f"""
    INSERT INTO batches (id, requester_id, name, state, total, source_digest, sealed_at, created_at, finished_at)
    SELECT one.batch_id, %(requester)s, 'filled ' || one.batch, %(batch_state)s, count(*),
           encode(sha256(one.batch_id::text::bytea), 'hex'), {_at("made")}, {_at("made")},
           CASE WHEN %(has_ended)s THEN {_at("told")} END
      FROM {_REQUESTS} GROUP BY one.batch_id, one.batch, one.made, one.told
"""

_ENTERED = f"""
    INSERT INTO requests
        (id, requester_id, batch_id, position, upstream, kind, state, reason, detail, idempotency_key, body_digest,
         custom_id, deadline, on_out_of_stock, spec, number, upstream_reference, pool, attempts, retries, looks,
         accepted_at, repeated, unanswered, fence, priority, due_at, created_at, updated_at, finished_at,
         told, key_id)
    SELECT one.id, %(requester)s, one.batch_id, one.position, 'avanser', 'provision', %(state)s, %(reason)s, %(detail)s,
           'custom:avanser:provision:' || one.custom_id, encode(sha256(one.spec::bytea), 'hex'),
           one.custom_id, {_at("made")} + interval '7 days', 'wait', one.spec::json,
           CASE WHEN %(is_bought)s THEN one.number END, CASE WHEN %(is_bought)s THEN one.reference END,
           CASE WHEN %(is_bought)s THEN 'private' END, %(has_ended)s::int, 0, 0,
           CASE WHEN %(is_bought)s THEN {_at("answered")} END, false, 0, %(has_ended)s::int, 1,
           CASE WHEN NOT %(has_ended)s THEN {_at("made")} END, {_at("made")},
           CASE WHEN %(has_ended)s THEN {_at("ended")} ELSE {_at("made")} END,
           CASE WHEN %(has_ended)s THEN {_at("ended")} END, %(has_ended)s::int, %(key)s
      FROM {_REQUESTS}
"""

_TAKEN = "(made, 'state', NULL, 'queued', %(actor)s, NULL, NULL, '{}')"
_CLAIMED = "(sent, 'state', 'queued', 'submitting', 'worker', NULL, NULL, '{}')"
_ANSWERED = """(answered, 'attempt', NULL, NULL, 'worker', NULL, {detail},
    '{{"call": "submit", "attempt": 1, "answer": "{answer}", "latency_ms": 301.5{more}}}')"""
_SAID = ', "exchanges": [{"request": "POST /requests", "sent": "{}", "status": 422, "answer": "not allowed"}]'
_REJECTED = _ANSWERED.format(answer="rejected", detail="%(detail)s", more=_SAID)
_PLAIN = _ANSWERED.format(answer="accepted", detail="NULL", more="")
_ACCEPTED = "(answered + 1, 'state', 'submitting', 'accepted', 'worker', NULL, NULL, '{}')"
_CALLED_BACK = """(called_back, 'callback', NULL, NULL, 'avanser', NULL, %(detail)s,
    format('{"says": "completed", "purpose": "callback", "method": "POST", "inbox": "%%s"}', inbox_id))"""
_COMPLETED = "(ended, 'state', 'accepted', 'completed', 'callback', NULL, %(detail)s, '{}')"
_FAILED = "(ended, 'state', 'submitting', 'failed', 'worker', %(reason)s, %(detail)s, '{}')"
_TOLD = """(told, 'delivery', NULL, NULL, 'worker', NULL, NULL,
    format('{"delivery": "%%s", "event": "request.%%s", "attempt": 1, "status": 204, "latency_ms": 10.2,'
           ' "outcome": "delivered"}', delivery_id, %(state)s::text))"""

_HISTORY: Mapping[State, Sequence[str]] = {
    State.QUEUED: [_TAKEN],
    State.FAILED: [_TAKEN, _CLAIMED, _REJECTED, _FAILED, _TOLD],
    State.COMPLETED: [
        _TAKEN, _CLAIMED, _PLAIN, _ACCEPTED, _CALLED_BACK, _COMPLETED,
        _TOLD,
    ],
}  # fmt: skip


def _events(state: State) -> str:
    lines = ", ".join(f"({place}, {line[1:]}" for place, line in enumerate(_HISTORY[state], 5))
    return f"""
        INSERT INTO events (id, request_id, at, type, from_state, to_state, actor, reason, detail, data)
        SELECT pg_temp.id_at(line.at, one.position, line.kind, one.n), one.id, {_TIME.format("line.at")}, line.type,
               line.from_state, line.to_state, line.actor, line.reason, line.detail, line.data::json
          FROM {_REQUESTS} CROSS JOIN LATERAL (VALUES {lines})
               AS line (kind, at, type, from_state, to_state, actor, reason, detail, data)
    """


_DELIVERIES = f"""
    INSERT INTO deliveries
        (id, requester_id, endpoint_id, type, request_id, data, state, attempts, fence, created_at, delivered_at,
         last_status, for_all, sequence)
    SELECT one.delivery_id, %(requester)s, %(endpoint)s, 'request.' || %(state)s, one.id,
           format('{{"id": "%%s", "kind": "provision", "upstream": "avanser", "state": "%%s", "reason": %%s,'
                  ' "detail": "%%s", "number": %%s, "upstream_reference": %%s, "pool": %%s, "custom_id": "%%s",'
                  ' "custom_group": null, "batch": "%%s", "spec": %%s, "attempts": 1, "due_at": null,'
                  ' "deadline": "%%s", "created_at": "%%s", "updated_at": "%%s", "finished_at": "%%s"}}',
                  one.id, %(state)s::text, coalesce(to_json(%(reason)s::text)::text, 'null'), %(detail)s::text,
                  CASE WHEN %(is_bought)s THEN to_json(one.number)::text ELSE 'null' END,
                  CASE WHEN %(is_bought)s THEN to_json(one.reference)::text ELSE 'null' END,
                  CASE WHEN %(is_bought)s THEN '"private"' ELSE 'null' END, one.custom_id, one.batch_id, one.spec,
                  {_shown("made + 604800000")}, {_shown("made")}, {_shown("ended")}, {_shown("ended")})::json,
           'delivered', 1, 1, {_at("ended")}, {_at("told")}, 204, true, 1
      FROM {_REQUESTS}
"""

_INBOX = f"""
    INSERT INTO inbox
        (id, upstream, purpose, request_id, digest, method, query, content_type, body, received_at, fence, attempts,
         applied_at)
    SELECT one.inbox_id, 'avanser', 'callback', one.id, encode(sha256(one.inbox_id::text::bytea), 'hex'), 'POST', '',
           'application/json',
           format('{{"account_id": "7xxx", "request_id": "%%s", "custom_id": "%%s", "custom_group": "",'
                  ' "service_number": "%%s", "answer_point": "%%s", "message": "%%s", "status": "completed"}}',
                  one.reference, one.custom_id, substr(one.number, 2), one.answer_point, %(detail)s::text)::bytea,
           {_at("called_back")}, 1, 1, {_at("ended")}
      FROM {_REQUESTS}
"""

_NUMBERS = f"""
    INSERT INTO numbers
        (id, requester_id, upstream, number, upstream_reference, request_id, custom_id, pool, configuration,
         held_since, changed_at)
    SELECT pg_temp.id_at(one.ended, one.position, 0, one.n), %(requester)s, 'avanser', one.number, one.reference,
           one.id, one.custom_id, 'private', one.spec::json, {_at("ended")}, {_at("ended")}
      FROM {_REQUESTS}
"""

# One row a batch: what has ended is folded, and what is queued was never in another state.
_COUNTS = f"""
    INSERT INTO request_counts (requester_id, batch_id, upstream, state, slot, n)
    SELECT %(requester)s, batch_id, 'avanser', (%(path)s::text[])[cardinality(%(path)s::text[])], 0, count(*)
      FROM {_REQUESTS} GROUP BY batch_id
"""


def statements(state: State) -> Sequence[Mapping[str, str]]:
    """What writes requests in this state: by table, in two parts of about the same work, neither of which needs the
    other's rows. Raises KeyError for a state that is none of `FILLED`.

    Each needs `ID_AT` in its session, and the parameters `first` and `last` (numbers of the requests, from 1), `size`
    (of a batch), `began` and `every` (of batches; milliseconds), `requester`, `endpoint`, `key`, `actor` and those of
    `about`.
    """
    entered = {"batches": _BATCHES, "requests": _ENTERED, "request_counts": _COUNTS}
    history = {"events": _events(state)}
    if state is not State.QUEUED:
        history |= {"deliveries": _DELIVERIES}
    if state is State.COMPLETED:
        entered |= {"numbers": _NUMBERS, "inbox": _INBOX}
    return entered, history


def about(state: State) -> dict[str, Any]:
    """What the statements want to know about the state."""
    is_bought, has_ended = state is State.COMPLETED, state is not State.QUEUED
    path = {
        State.QUEUED: [],
        State.FAILED: ["queued", "submitting"],
        State.COMPLETED: ["queued", "submitting", "accepted"],
    }
    return {
        "state": state.value,
        "reason": Reason.UPSTREAM_REJECTED.value if state is State.FAILED else None,
        "detail": {State.QUEUED: None, State.FAILED: REFUSED, State.COMPLETED: BOUGHT}[state],
        "batch_state": "finished" if has_ended else "running",
        "is_bought": is_bought,
        "has_ended": has_ended,
        "path": [*path[state], state.value],
    }
