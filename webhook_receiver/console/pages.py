"""A page of the console, declared once: its address and the role that it takes. Nothing else is served."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import flask
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from models.user import Role
from webhook_receiver.console import words
from webhook_receiver.console.sessions import csrf, require, signed_in
from webhook_receiver.problems import Problem, known

View = TypeVar("View", bound=Callable[..., ResponseReturnValue])

ROOT = Path(__file__).parents[1]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing inline and nothing from elsewhere: what a name that came from outside may smuggle in does not run."""

console = flask.Blueprint(
    "console",
    __name__,
    url_prefix="/console",
    static_folder=str(ROOT / "static" / "console"),
    static_url_path="/assets",
    template_folder=str(ROOT / "templates"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One of the menu: its title, for whom it is, and the module that declares its page."""

    title: str
    role: Role
    module: str


MENU: dict[str, Entry] = {}
"""By the name of the page's view."""


def order_menu(modules: Iterable[ModuleType]) -> None:
    """Put the menu in the order of the modules that declare its pages."""
    names = [module.__name__ for module in modules]
    for view, entry in sorted(MENU.items(), key=lambda item: names.index(item[1].module)):
        del MENU[view]
        MENU[view] = entry


def page(rule: str, role: Role = Role.VIEWER, *, title: str | None = None) -> Callable[[View], View]:
    """Declare the view of a GET, for users of this role and above. One with a title stands in the menu."""

    def declare(view: View) -> View:
        if title is not None:
            MENU[view.__name__] = Entry(title, role, view.__module__)
        return _declare(rule, "GET", role)(view)

    return declare


def action(rule: str, role: Role = Role.OPERATOR) -> Callable[[View], View]:
    """Declare the view of a POST, which changes something."""
    return _declare(rule, "POST", role)


def public(rule: str, *methods: str) -> Callable[[View], View]:
    """Declare a view that nobody has to be signed in for."""

    def declare(view: View) -> View:
        console.add_url_rule(rule, view.__name__, view, methods=methods)
        return view

    return declare


def _declare(rule: str, method: str, role: Role) -> Callable[[View], View]:
    def declare(view: View) -> View:
        @functools.wraps(view)
        def guarded(**variables: Any) -> ResponseReturnValue:
            refusal = require(role)
            return view(**variables) if refusal is None else refusal

        console.add_url_rule(rule, view.__name__, guarded, methods=[method])
        return view

    return declare


@console.before_request
def _prove_origin() -> None:
    """A form of another site cannot know the token in ours. Raises CSRFError."""
    if flask.request.method not in ("GET", "HEAD"):
        csrf.protect()


@console.after_request
def _secure(response: flask.Response) -> flask.Response:
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


@console.app_context_processor
def _known_everywhere() -> dict[str, Any]:
    """What every template may use."""
    if not flask.has_request_context() or flask.request.blueprint != console.name:
        return {}
    user = signed_in()
    seen = {view: one.title for view, one in MENU.items() if user is not None and user.role.may(one.role)}
    return {"user": user, "asset": asset_url, "Role": Role, "titles": seen, **words.FOR_TEMPLATES}


@functools.cache
def _digest(name: str) -> str:
    return hashlib.sha256((ROOT / "static" / "console" / name).read_bytes()).hexdigest()[:12]


def asset_url(name: str) -> str:
    """The address of a file of ours, which changes when the file does, so that a browser may keep it."""
    return flask.url_for("console.static", filename=name, v=_digest(name))


@console.errorhandler(Problem)
def _problem(problem: Problem) -> ResponseReturnValue:
    return trouble(problem.status, problem.detail)


@console.errorhandler(HTTPException)
def _from_framework(error: HTTPException) -> ResponseReturnValue:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    if status is HTTPStatus.BAD_REQUEST:
        return trouble(status, "This form is too old, or not ours. Go back, load the page anew, and send it again.")
    return trouble(status, error.description or status.phrase)


@console.errorhandler(Exception)
def _unexpected(error: Exception) -> ResponseReturnValue:
    return _problem(known(error))


def trouble(status: HTTPStatus, detail: str) -> ResponseReturnValue:
    """A page that says what is wrong."""
    return flask.render_template("console/trouble.html", status=status, detail=detail), status
