"""The same service as a careful team writes it with Celery, Flask and SQLAlchemy, by their documentation.

    app.py       settings, the Celery application, the Flask application: orders in, callbacks in
    models.py    one table
    tasks.py     one task orders a number, one delivers the result
    run.py       starts it, hurts it, and counts what was lost and what was bought twice

It is no straw man. Where it is careful:

- It accepts an order after its row is committed, and enqueues the task after that; the same custom_id twice is one row.
- `acks_late` and `task_reject_on_worker_lost`, a prefetch of 1, and a Redis visibility time-out that is longer than the
  longest task and much shorter than the default of an hour, so that the tasks of a dead worker are soon run again.
- A task checks the row's status and sets it, in a transaction with the row locked, before it calls the upstream, so
  that a message that is delivered twice does not order twice while the first one is being worked on.
- Retries with exponential backoff and jitter, up to ten, of what may go better next time; a refusal ends the order.
- The callback's URL carries an HMAC, compared in constant time; one that comes before the acknowledgement counts.
- Many orders at once are one transaction, and connections to the upstream and the customer are kept.
- The result is delivered by a task of its own with retries, signed as Standard Webhooks, with the same id each time.

What it has to decide, as everybody has, is what to do with a row that says "ordering" when its message comes again: the
worker died, and nobody knows whether the upstream heard it. `PEER_UNFINISHED` is `again` (order it: a customer who
waits for ever complains) or `leave` (do not: money). With `again` it may buy twice, with `leave` it loses orders.
"""
