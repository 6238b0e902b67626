"""What the files of `deploy` run, read out of them: command lines, environments, secrets and times to stop."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

from tests.services import tools

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
UNITS = DEPLOY / "systemd"
OVERLAYS = DEPLOY / "kubernetes" / "overlays"
PROGRAM = "/opt/trunkline/bin/trunkline"

PRUNE = "prune"
"""What compose leaves to the machine's own cron."""

PROCESSES = ("migrate", "worker", "relay", "receiver", "console")


@dataclass(frozen=True)
class Process:
    """One process of Trunkline. `secrets` says which secret stands at which path; `grace` is in seconds."""

    name: str
    words: list[str]
    environment: dict[str, str]
    secrets: dict[str, str]
    grace: float


def env_file(path: Path, *, uncommented: bool = False) -> dict[str, str]:
    """Its variables; those that stand there as an offer too, where it is `uncommented`."""
    text = path.read_text()
    if uncommented:
        text = re.sub(r"^#(?=TRUNKLINE_)", "", text, flags=re.MULTILINE)
    lines = dict(line.split("=", 1) for line in text.splitlines() if line.startswith("TRUNKLINE_"))
    if not uncommented:
        assert lines == dotenv_values(path)  # neither quotes nor anything else that is read differently elsewhere
    return lines


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


def of_compose(settings: str = "sandbox.env") -> Iterator[Process]:
    """With the sandbox's profile."""
    whole = compose()
    for name, service in whole["services"].items():
        if service["image"] == "trunkline":
            environment = service.get("environment", {})
            if files := service.get("env_file", []):
                assert files == ["${SETTINGS:-trunkline.env}"]
                environment = env_file(DEPLOY / settings) | environment
            secrets = {f"/run/secrets/{secret}": secret for secret in service.get("secrets", [])}
            grace = float(service.get("stop_grace_period", "10s").removesuffix("s"))
            yield Process(name, service["command"], environment, secrets, grace)


def manifests(overlay: str) -> list[dict[str, Any]]:
    """What kubectl makes of an overlay. Raises ServiceMissing."""
    done = tools.run("kubectl", "kustomize", OVERLAYS / overlay)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def pods(rendered: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each pod's template, by the name of what makes it."""
    specs = [(one["metadata"]["name"], one.get("spec", {})) for one in rendered]
    specs = [(name, spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec) for name, spec in specs]
    return {name: spec["template"] for name, spec in specs if "template" in spec}


def of_kubernetes(overlay: str = "sandbox") -> Iterator[Process]:
    rendered = manifests(overlay)
    maps = {one["metadata"]["name"]: one["data"] for one in rendered if one["kind"] == "ConfigMap"}
    for name, template in pods(rendered).items():
        spec = template["spec"]
        (container,) = spec["containers"]
        environment: dict[str, str] = {}
        for source in container.get("envFrom", []):
            environment |= maps[source["configMapRef"]["name"]]
        mounts = [one["mountPath"] for one in container.get("volumeMounts", []) if one["name"] == "secrets"]
        paths = [value for value in environment.values() if any(value.startswith(f"{place}/") for place in mounts)]
        secrets = {path: Path(path).name for path in paths}
        grace = float(spec.get("terminationGracePeriodSeconds", 30))
        yield Process(name, container["args"], environment, secrets, grace)


def unit(name: str) -> list[tuple[str, str]]:
    """The lines of a unit's [Service], then those of its drop-ins, in the order in which systemd reads them."""
    files = [UNITS / name, *sorted((UNITS / "trunkline-.service.d").glob("*.conf"))]
    lines = [line for file in files for line in _service(file.read_text()).splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return [(key, value) for key, _, value in pairs]


def _service(text: str) -> str:
    return text.partition("[Service]\n")[2].partition("\n[")[0]


def of_systemd() -> Iterator[Process]:
    """Each with the example of /etc/trunkline/env; credentials are at `%d/NAME`."""
    for name in (*PROCESSES, PRUNE):
        lines = unit(f"trunkline-{name}@.service" if name == "worker" else f"trunkline-{name}.service")
        last = dict(lines)
        assert last["EnvironmentFile"] == "/etc/trunkline/env"
        program, *words = last["ExecStart"].split()
        assert program == PROGRAM
        # An EnvironmentFile overrules Environment.
        environment = dict(value.split("=", 1) for key, value in lines if key == "Environment")
        environment |= env_file(DEPLOY / "trunkline.env.example")
        loaded = [value.partition(":")[0] for key, value in lines if key == "LoadCredential"]
        yield Process(
            name, words, environment, {f"%d/{one}": one for one in loaded}, float(last.get("TimeoutStopSec", 90))
        )


WAYS: Mapping[str, Any] = {"compose": of_compose, "kubernetes": of_kubernetes, "systemd": of_systemd}
