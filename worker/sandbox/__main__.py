"""Starts the sandbox on its own: `python -m worker.sandbox --port 0`."""

import argparse
from pathlib import Path

from worker.sandbox.app import serve
from worker.sandbox.avanser import ACCOUNT, PASSWORD, USERNAME, Login


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m worker.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090, help="0 picks a free one")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is left to chance")
    parser.add_argument("--ledger", type=Path, help="JSONL file that keeps the ledger over a restart")
    parser.add_argument("--avanser-username", default=USERNAME)
    parser.add_argument("--avanser-password", default=PASSWORD)
    parser.add_argument("--avanser-account", default=ACCOUNT)
    given = parser.parse_args()
    login = Login(given.avanser_username, given.avanser_password, given.avanser_account)
    serve(given.host, given.port, seed=given.seed, ledger_path=given.ledger, avanser=login)


if __name__ == "__main__":
    main()
