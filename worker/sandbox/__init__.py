"""A program that behaves like the real upstreams, and like a requester, for trying and testing Trunkline."""
