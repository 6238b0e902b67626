"""Reconciliation: our books against what each upstream says is ours, both ways.

- `books`: what stands on our side about the numbers in question; `compare`: the findings, a pure function of both
- `finding`: a finding, and the sentences that tell people what is known and what to do
- `run`: one comparison, on demand or daily; it changes nothing but its own report
- `acts`: what a person may then do: adopt, release, forget, apply
"""
