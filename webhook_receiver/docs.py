"""The API's documentation: the OpenAPI document, and a page that shows it. Everything on it is served from here."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import flask
from flask.typing import ResponseReturnValue

from models.requester import Caller
from webhook_receiver.operations import JSON, Answer, Api
from webhook_receiver.problems import not_found

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""No script but ours and from nowhere else. Swagger UI sets styles on its elements, hence the one exception."""

_SWAGGER = files("flask_openapi3_swagger") / "templates" / "swagger"

_ASSETS = {
    "swagger-ui.css": (_SWAGGER / "css" / "swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": (_SWAGGER / "js" / "swagger-ui-bundle.js", "text/javascript"),
    "start.js": (files("webhook_receiver") / "static" / "docs.js", "text/javascript"),
}

docs = Api("docs")


@docs.operation("GET", "/openapi.json", None, {200: Answer(None, JSON)}, for_browsers=True)
def show_document(_caller: Caller) -> ResponseReturnValue:
    """This document."""
    document: dict[str, Any] = flask.current_app.extensions["trunkline_openapi"]
    return flask.jsonify(document)


@docs.operation("GET", "/docs", None, {200: Answer(None, "text/html")}, for_browsers=True)
def show_page(_caller: Caller) -> ResponseReturnValue:
    """The documentation, for people."""
    response = flask.make_response(flask.render_template("docs.html"))
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


@docs.route("/docs/assets/<name>")
def asset(name: str) -> ResponseReturnValue:
    """A file of the page. No key: it is the same for everybody, and public."""
    if name not in _ASSETS:
        raise not_found()
    file, media_type = _ASSETS[name]
    headers = {"Cache-Control": "public, max-age=3600"}
    return flask.Response(file.read_bytes(), content_type=f"{media_type}; charset=utf-8", headers=headers)
