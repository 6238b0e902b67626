"""What Trunkline knows: its rows, and the one door through which a request changes state.

- `state`: the states of a request and the legal moves; `transition`: the door
- `request`: one asked-for change; `batch`: a bulk job of them; `intake`: taking them in; `source`: files seen before;
  `event`: a request's history
- `due`: claiming rows that somebody must look at now; `turn`: changes of one number, one after the other;
  `parking`: stepping aside while an upstream or a batch is paused; `stock_watch`: waiting for stock;
  `reservation`: which order is after which number
- `inbox`: what upstreams sent us, stored before it is understood; `call`, `message`: events on a number;
  `personal`: how long we keep who called
- `number`: the inventory of what we hold; `holding`: whose a number is; `reconciliation`: what comparing it showed
- `delivery`: one result on its way to an endpoint; `endpoint`: where a requester wants results; `replaying`: sending
  what one missed; `stream`: all that was to be told, in order
- `dispatch`: which deliveries go out next; `outage`: destinations that fail, and their breakers; `delivery_attempt`:
  every try of a delivery
- `requester`: who asks, and the API keys they ask with; `sealed`, `resealing`: secrets at rest
- `upstream`: the pause switches
- `lookup`, `listing`, `inventory`, `number_events`: finding and listing what people ask for
- `counter`: how many requests are in which state, without counting them; `heartbeat`: signs of life
- `base`: engine, column types, transactions; `clock`: one time for all hosts; `tables`, `migrations`: the schema
"""
