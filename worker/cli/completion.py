"""`trunkline completion`: what a shell reads so that Tab completes our commands, options and names."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from worker.cli.run import Refusal, command

PROGRAM = "trunkline"

VARIABLE = "_TRUNKLINE_COMPLETE"
"""By which the shell asks; click reads it for a program of this name."""


@command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes Tab complete commands, options, upstreams, batches, requesters, endpoints and sweeps.

    Put it where your shell reads it at its start. For bash into ~/.bashrc: eval "$(trunkline completion bash)". For zsh
    the same with zsh into ~/.zshrc, after compinit. For fish into ~/.config/fish/completions/trunkline.fish.

    \b
    Examples:
      trunkline completion bash
      trunkline completion zsh
      trunkline completion fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise Refusal(f"nothing is known of {shell}")
    # Not the class's own `source`: that of bash first runs a bash to ask for its version.
    click.echo(ShellComplete.source(found(context.find_root().command, {}, PROGRAM, VARIABLE)))
