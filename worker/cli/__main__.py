"""`python -m worker.cli`: the same as `trunkline`."""

from worker.cli import main

main(prog_name="trunkline")
