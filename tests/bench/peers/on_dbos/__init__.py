"""The same service as durable workflows on DBOS, by its documentation.

    app.py       orders in and callbacks in: a server that enqueues and sends through the DBOS client
    worker.py    the workflow and its steps, and the process that runs them
    run.py       starts it

The workflow is the record: its input is the order, its steps' outputs are the upstream's answer and the delivery, and
the callback is a message to it, which it waits for. So there is no table beside DBOS's own. Where it is careful:

- A workflow's id is made from the custom_id, so the same order twice is one; a callback has an idempotency key.
- Many orders are enqueued in one transaction.
- A step is tried again, with exponential backoff, after what may go better next time; a refusal ends the order.
- A worker that is started again under its executor id goes on with the workflows that it left.
"""
