"""Keeps what comes."""

from __future__ import annotations

import os
import threading

import flask
import psycopg

app = flask.Flask(__name__, static_folder=None)
_threads = threading.local()


@app.get("/healthz")
def healthz() -> str:
    return ""


@app.post("/callbacks/<upstream>/<token>")
def callback(upstream: str, token: str) -> str:
    _connection().execute(
        "INSERT INTO inbox (upstream, token, body) VALUES (%s, %s, %s)", [upstream, token, flask.request.get_data()]
    )
    return ""


def _connection() -> psycopg.Connection[psycopg.rows.TupleRow]:
    """This thread's own: nothing is quicker."""
    if not hasattr(_threads, "connection"):
        _threads.connection = psycopg.connect(os.environ["PEER_CONNINFO"], autocommit=True)
    connection: psycopg.Connection[psycopg.rows.TupleRow] = _threads.connection
    return connection
