"""The same service on taskiq, with a Redis stream as its queue and psycopg for its table, by its documentation.

    app.py       the broker and the tasks, and orders in and callbacks in
    run.py       starts it

Where it is careful:

- The broker is the one that acknowledges: a message leaves it when its task is done, and one that a dead worker held
  is given out again after `idle_timeout`, which is longer than the longest task and much shorter than the default.
- It accepts an order after its row is committed, and enqueues the task after that; the same custom_id twice is one
  row. A callback that comes again enqueues again what has not been delivered.
- A task is tried again, after a growing delay with jitter, after what may go better next time; a refusal ends the
  order. The delays are kept in Redis, and kept track of by taskiq's scheduler.

A receiver that dies between its commit and its message leaves an order that nobody places.
"""
