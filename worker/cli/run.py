"""How a command runs: what `--json` asks for, and with which words and exit status it ends when something is wrong.

Exit status: 0 done; 1 the work ended with failures; 2 bad usage, input or settings; 3 a service could not be reached.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click
import redis
from kombu.exceptions import OperationalError as BrokerAway
from sqlalchemy.exc import DataError, InterfaceError, OperationalError

from models.migrations import SchemaOutOfDate
from worker.app import WrongOrder
from worker.settings import Settings, SettingsError, load

FAILURES = 1
BAD_INPUT = 2
UNREACHABLE = 3

_WANTS_JSON = "trunkline.json"

Function = TypeVar("Function", bound=Callable[..., Any])


class Refusal(click.ClickException):
    """The command cannot do what was asked; the message says why, and what can be done."""

    exit_code = BAD_INPUT

    def show(self, file: Any = None) -> None:
        if wants_json():
            click.echo(json.dumps({"error": self.message}), err=True)
        else:
            click.echo(f"trunkline: {self.message}", err=True)


class Unreachable(Refusal):
    """A service that the command needs does not answer."""

    exit_code = UNREACHABLE


class Command(click.Command):
    """A command whose faults end it with a sentence and a status, never with a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except SettingsError as error:
            raise Refusal("the settings are not right:\n" + "\n".join(f"  {fault}" for fault in error.faults)) from None
        except (SchemaOutOfDate, WrongOrder) as error:
            raise Refusal(str(error)) from None
        except (OperationalError, InterfaceError) as error:
            reason = str(error.orig).strip().partition("\n")[0]
            raise Unreachable(f"the database does not answer: {reason}") from None
        except DataError as error:  # PostgreSQL keeps to the length of its columns
            reason = str(error.orig).strip().partition("\n")[0]
            raise Refusal(f"the database does not take a value: {reason}") from None
        except (BrokerAway, redis.ConnectionError) as error:
            raise Unreachable(f"the broker does not answer: {error}") from None


def command(
    name: str, *, group: click.Group | None = None, answers: bool = False
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a command. One that `answers` has the option `--json`, which `wants_json` tells of."""

    def make(function: Callable[..., Any]) -> click.Command:
        if answers:
            function = _json_option(function)
        made: click.Command = click.command(name, cls=Command)(function)
        if group is not None:
            group.add_command(made)
        return made

    return make


def _json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    option = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_remember,
        help="print JSON",
    )
    return option(function)


def _remember(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.meta[_WANTS_JSON] = value


def wants_json() -> bool:
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(_WANTS_JSON))


def settings() -> Settings:
    """The settings. Raises SettingsError, which names every fault."""
    return load()
