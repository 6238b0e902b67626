"""How a command runs: what `--json` asks for, and with which words and exit status it ends when something is wrong.

Exit status: 0 done; 1 the work ended with failures; 2 bad usage, input or settings; 3 a service could not be reached.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
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

EXIT_STATUS = (
    "Exit status: 0 done; 1 the work ended with failures; 2 bad usage, input or settings; 3 a service could not be"
    " reached."
)

ARGUMENTS: Mapping[str, str] = {
    "REF": "a request: its id, its number in any format, its custom_id, or the upstream's reference",
    "BATCH": "a bulk job: its id, or its name, which names the newest of several",
    "NUMBER": "in any format; or a custom_id, an upstream reference, the id of the number or of its request",
    "NAME_OR_ID": "an endpoint",
    "ID": "a key, as `trunkline keys list` shows it",
    "USER": "as it is typed to sign in; capitals make no difference",
    "SWEEP": "its id, as the command said that began it, or `trunkline sweep list`",
    "FILE": "CSV, NDJSON or JSON; - is standard input",
    "JSON": "an object; @FILE reads it from there, - from standard input",
    "NAME=VALUE": "what the upstream's own search takes",
}
"""By the name that stands in the usage line."""

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
    """A command whose faults end it with a sentence and a status, never with a traceback, and whose help says what its
    arguments are and how it ends."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if said := list(self._arguments(ctx)):
            with formatter.section("Arguments"):
                formatter.write_dl(said)
        super().format_options(ctx, formatter)

    def _arguments(self, context: click.Context) -> Iterator[tuple[str, str]]:
        for parameter in self.get_params(context):
            if isinstance(parameter, click.Argument):
                name = parameter.make_metavar(context)
                meaning = ARGUMENTS.get(name.strip("[].").upper())
                if meaning is not None:
                    yield name, meaning

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if "Exit status" not in (self.help or ""):
            formatter.write_paragraph()
            formatter.write_text(EXIT_STATUS)

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
