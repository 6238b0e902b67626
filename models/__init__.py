"""What Trunkline knows: its rows, and the one door through which a request changes state.

- `state`: the states of a request, the legal moves, and `transition`, the door
- `request`: one asked-for change; `batch`: a bulk job of them; `event`: a request's history
- `due`: claiming rows that somebody must look at now
- `inbox`: what upstreams sent us, stored before it is understood; `call`: per-call events
- `delivery`: one result on its way to an endpoint; `endpoint`: where a requester wants results
- `parking`: stepping aside while an upstream is paused
- `requester`: who asks, and the API keys they ask with; `upstream`: the pause switches
- `counter`: how many requests are in which state, without counting them
- `base`: engine, column types, transactions; `migrations`: the schema's history
"""
