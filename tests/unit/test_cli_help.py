"""Help as good as a manual's page: every command explains itself, and every example in it is one that works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from worker.cli import main

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()

EXAMPLE = re.compile(r"^\s*(?:Examples?:)?\s*(trunkline\s.*)$")

Named = tuple[tuple[str, ...], click.Command]


def commands(found: click.Command = main, path: tuple[str, ...] = ()) -> Iterator[Named]:
    if not isinstance(found, click.Group):
        yield path, found
        return
    context = click.Context(found)
    for name in found.list_commands(context):
        command = found.get_command(context, name)
        assert command is not None
        yield from commands(command, (*path, name))


ALL = list(commands())

each = pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])


def examples(command: click.Command) -> list[str]:
    lines = (command.help or "").partition("Example")[2].splitlines()
    return [found[1] for line in lines if (found := EXAMPLE.match(line.removeprefix("s:").removeprefix(":")))]


def parse(command: click.Command, words: list[str], path: str) -> None:
    """As if it were typed, but for doing it. Raises click.UsageError."""
    context = command.make_context(path, list(words))
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command = found
        context = command.make_context(str(name), list(words), parent=context)


@each
def test_every_command_has_a_paragraph_an_example_and_its_exit_status(
    path: tuple[str, ...], command: click.Command
) -> None:
    said = CliRunner().invoke(main, [*path, "--help"], prog_name="trunkline").stdout
    assert len((command.help or "").split()) >= 5
    assert examples(command), "an example"
    assert "Exit status" in said
    for parameter in command.params:
        if isinstance(parameter, click.Argument) and not isinstance(parameter.type, click.Choice):
            assert "Arguments:" in said, parameter.name


@each
def test_every_example_is_one_that_can_be_typed(
    path: tuple[str, ...], command: click.Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in examples(command):
        program, *words = shlex.split(line)
        assert program == "trunkline"
        assert tuple(words[: len(path)]) == path, "an example is of the command that it stands at"
        parse(main, words, "trunkline")


def test_an_example_with_an_option_that_there_is_none_of_would_be_seen() -> None:
    with pytest.raises(click.UsageError):
        parse(main, ["list", "--stat", "held"], "trunkline")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(shell: str) -> None:
    said = CliRunner().invoke(main, ["completion", shell], prog_name="trunkline").stdout
    assert f"_TRUNKLINE_COMPLETE={shell}_complete" in said


@pytest.mark.parametrize(
    ("words", "typed", "offered"),
    [
        ([], "up", {"up", "upstream"}),
        (["list", "--upstream"], "av", {"avanser"}),
        (["cancel"], "--older", {"--older-than"}),
        (["cancel", "--older-than"], "2", {"2s", "2m", "2h", "2d"}),
        (["sweep"], "p", {"pause"}),
    ],
)
def test_tab_offers_commands_options_and_what_they_take(words: list[str], typed: str, offered: set[str]) -> None:
    found = BashComplete(main, {}, "trunkline", "_TRUNKLINE_COMPLETE").get_completions(words, typed)
    assert {item.value for item in found} == offered


def test_what_is_printed_for_bash_works_in_a_bash() -> None:
    script = CliRunner().invoke(main, ["completion", "bash"], prog_name="trunkline").stdout
    function = re.search(r"complete .*-F (\w+) trunkline", script)
    assert function is not None
    program = f"{sys.executable} -c \"from worker.cli import main; main(prog_name='trunkline')\""
    asked = (
        f"trunkline() {{ {program}; }}\n"
        f"{script.replace('env COMP_WORDS', 'COMP_WORDS')}\n"  # env runs programs, and here it is a function
        "COMP_WORDS=(trunkline list --upstream av); COMP_CWORD=3\n"
        f'{function[1]} trunkline; printf "%s\\n" "${{COMPREPLY[@]}}"\n'
    )
    run = subprocess.run(["/bin/bash", "-c", asked], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["avanser"], run.stderr


def test_every_command_that_the_readme_shows_is_one_that_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chapter = README.partition("### On call, at the command line")[2].partition("\n#")[0]
    lines = [line for line in chapter.splitlines() if line.startswith("trunkline ")]
    assert len(lines) > 5
    for line in lines:
        parse(main, shlex.split(line, comments=True)[1:], "trunkline")
