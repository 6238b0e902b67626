"""The same service on procrastinate, a queue in PostgreSQL, by its documentation.

    app.py       the tasks, and orders in and callbacks in
    worker.py    the process that runs the tasks
    run.py       starts it

The queue is in the database of the orders. Where it is careful:

- A row and its job are written in one transaction: an order with its placing, its end with the delivery.
- Many orders are one statement for the rows and one for the jobs.
- A task is tried again, with exponential backoff, after what may go better next time; a refusal ends the order.
- A job of a worker whose heartbeat has stopped is begun again, by a periodic task.
- Results go before orders, so that they need not wait behind them.
"""
