"""No peer but a limit: what the flow costs when nothing is done that it does not need.

    receiver.py    a bare ASGI application: COPY for orders, one INSERT for a callback
    worker.py      one event loop: sets claimed, posted over aiohttp, and written by one statement each
    run.py         starts it

What it takes is on disk before it answers, and that is all: no history, no retry, no limit, no second worker. An order
that its worker had in hand when it died is lost.
"""
