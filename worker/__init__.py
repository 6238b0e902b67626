"""The processes that carry requests to the upstreams and results to the requesters."""
