"""The whole of Trunkline on one clock that a seed drives: every interleaving, every crash, replayed exactly.

- `world`: the clock, the schedule, the processes and the points at which they can die
- `loop`: network calls on that clock; `database`: transactions, each commit a point; `broker`: hints
- `vendor`, `requester`: the outside, each with a ledger of its own
- `scenario`: what a seed draws; `run`: brings it all together; `judge`: holds the ledgers against the promise
"""
