"""Showing a secret: on the answer to the form that made it, this once, and kept by nobody on the way."""

from __future__ import annotations

import flask


def shown_once(title: str, told: str, secret: str, back: str, back_words: str) -> flask.Response:
    page = flask.render_template(
        "console/secret.html", title=title, told=told, secret=secret, back=back, back_words=back_words
    )
    answer = flask.make_response(page)
    answer.headers["Cache-Control"] = "no-store"
    return answer
