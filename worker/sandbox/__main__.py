"""Starts the sandbox on its own: `python -m worker.sandbox --port 0`."""

import argparse
from pathlib import Path

from worker.sandbox.app import Accounts, serve
from worker.sandbox.avanser import vendor as avanser
from worker.sandbox.messagemedia import access as messagemedia
from worker.sandbox.telmetrics import vendor as telmetrics


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m worker.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090, help="0 picks a free one")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is left to chance")
    parser.add_argument("--ledger", type=Path, help="JSONL file that keeps the ledger over a restart")
    parser.add_argument("--avanser-username", default=avanser.USERNAME)
    parser.add_argument("--avanser-password", default=avanser.PASSWORD)
    parser.add_argument("--avanser-account", default=avanser.ACCOUNT)
    parser.add_argument("--telmetrics-token", default=telmetrics.TOKEN)
    parser.add_argument("--telmetrics-subscription-key", default="", help="empty: none is asked for")
    parser.add_argument("--messagemedia-key", default=messagemedia.KEY)
    parser.add_argument("--messagemedia-secret", default=messagemedia.SECRET)
    given = parser.parse_args()
    accounts = Accounts(
        avanser=avanser.Login(given.avanser_username, given.avanser_password, given.avanser_account),
        telmetrics=telmetrics.Access(given.telmetrics_token, given.telmetrics_subscription_key),
        messagemedia=messagemedia.Access(given.messagemedia_key, given.messagemedia_secret),
    )
    serve(given.host, given.port, seed=given.seed, ledger_path=given.ledger, accounts=accounts)


if __name__ == "__main__":
    main()
