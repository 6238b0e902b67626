"""Others who do the same work, to be measured beside Trunkline: same upstream, same faults, same judge.

    plain               Celery, Flask and an ORM
    on_dbos             durable workflows in PostgreSQL
    on_procrastinate    a queue in PostgreSQL
    on_taskiq           a queue in Redis, a table in PostgreSQL

    bare                what the flow costs when nothing is done that it does not need
    one_insert          the same, for a callback under the receiver's own server

    peer.py      what every peer is to the one who measures it

Those on_… are asynchronous and share what is no business of their library:

    orders.py    their words
    door.py      HTTP in
    calls.py     HTTP out
    store.py     the table of the two whose queue keeps no record
"""
