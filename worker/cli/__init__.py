"""The command line, `trunkline`: one file for each noun or story. Every command is registered here."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    # In the order of `trunkline --help`: running, asking and seeing, steering, administering.
    "demo": "worker.cli.demo.command:demo",
    "up": "worker.cli.up:up",
    "sandbox": "worker.cli.sandbox:sandbox",
    "worker": "worker.cli.processes:worker",
    "receiver": "worker.cli.processes:receiver",
    "console": "worker.cli.processes:console",
    "relay": "worker.cli.processes:relay",
    "alive": "worker.cli.alive:alive",
    "submit": "worker.cli.submit:submit",
    "request": "worker.cli.one:request",
    "status": "worker.cli.status:status",
    "list": "worker.cli.listing:list_",
    "show": "worker.cli.show:show",
    "explain": "worker.cli.explain:explain_",
    "watch": "worker.cli.watch:watch",
    "export": "worker.cli.export:export",
    "numbers": "worker.cli.numbers:numbers",
    "calls": "worker.cli.calls:calls",
    "messages": "worker.cli.messages:messages",
    "inbox": "worker.cli.inbox:inbox",
    "dead-letters": "worker.cli.dead_letters:dead_letters",
    "stock": "worker.cli.stock:stock",
    "cancel": "worker.cli.steer:cancel",
    "retry": "worker.cli.steer:retry",
    "resolve": "worker.cli.steer:resolve",
    "sweep": "worker.cli.sweep:sweep",
    "replay": "worker.cli.replay:replay_",
    "batch": "worker.cli.batch:batch",
    "upstream": "worker.cli.upstream:upstream",
    "reconcile": "worker.cli.reconcile:reconcile_",
    "keys": "worker.cli.keys:keys",
    "users": "worker.cli.users:users",
    "audit": "worker.cli.audit:audit",
    "endpoints": "worker.cli.endpoints:endpoints",
    "erase": "worker.cli.erase:erase",
    "prune": "worker.cli.prune:prune",
    "partition": "worker.cli.partition:partition",
    "migrate": "worker.cli.migrate:migrate",
    "doctor": "worker.cli.doctor:doctor",
    "completion": "worker.cli.completion:completion",
}


class _Commands(click.Group):
    """Imports a command when it is asked for: all of them take a second, which each process of `up` would pay."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="trunkline", message="trunkline %(version)s")
def main() -> None:
    """Orders phone numbers from several upstreams: never one twice, never one lost.

    Exit status: 0 done, 1 the work ended with failures, 2 bad usage, input or settings, 3 a service could not be
    reached.
    """
