"""Asking whether a person means it: what it will do, why, and a name to type where it spends money or is final."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import flask
from flask.typing import ResponseReturnValue

from worker.explain.explanation import Risk


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that is about to be done. `code` is what is typed to confirm: what people call the very thing."""

    title: str
    risk: Risk
    effect: str
    code: str
    address: str  # where the form goes
    about: str  # the thing, in words
    back: str  # its page
    command: str  # the same by hand
    asks_number: bool = False
    number: str | None = None  # that is known of it
    hidden: Mapping[str, str] = field(default_factory=dict)  # what else the form sends


def ask(deed: Deed, trouble: str | None = None, said: Mapping[str, str] | None = None) -> ResponseReturnValue:
    """The page; with `trouble` what was wrong with the form, and what was said in it is kept."""
    page = flask.render_template("console/confirm.html", deed=deed, trouble=trouble, said=said or {})
    return page, HTTPStatus.OK if trouble is None else HTTPStatus.CONFLICT


def fault(deed: Deed, said: Mapping[str, str]) -> str | None:
    """What is missing before it may be done; None where the person has said that it is meant."""
    if deed.risk is Risk.SAFE:
        return None
    if said.get("typed", "").strip() != deed.code:
        return f"Type {deed.code} into the field, as it stands there."
    if not said.get("reason", "").strip():
        return "Say why: whoever reads the history will want to know."
    return None


def reason(said: Mapping[str, str]) -> str | None:
    """Why, in the person's own words."""
    return said.get("reason", "").strip() or None
