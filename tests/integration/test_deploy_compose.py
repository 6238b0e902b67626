"""The compose file: it is one, what it names is there, and no service has more rights than it says why."""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import or_skip
from tests.deployed import COMPOSE, DEPLOY, compose, of_compose
from tests.services import tools
from worker.upstream_settings import UPSTREAMS

SERVICES = sorted(compose()["services"])

GIVEN_RIGHTS = {"nginx", "postgres"}
"""Images that begin as root and become somebody else."""

YOURS = {"metrics-key"}
"""A secret that deploy/make-secrets cannot make: it is a row of the database."""


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"][name]
    return found


def names(items: list[Any]) -> list[str]:
    return [item["source"] if isinstance(item, dict) else item for item in items]


def bound(name: str) -> list[tuple[str, str]]:
    """Its volumes: what, and where."""
    return [(volume.split(":")[0], volume.split(":")[1]) for volume in service(name).get("volumes", [])]


def test_it_is_a_compose_file() -> None:
    with or_skip():
        done = tools.run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_is_there(name: str) -> None:
    whole, one = compose(), service(name)
    assert set(names(one.get("secrets", []))) <= set(whole["secrets"])
    assert set(names(one.get("configs", []))) <= set(whole["configs"])
    assert set(one["networks"]) <= set(whole["networks"])
    assert set(one.get("depends_on", {})) <= set(whole["services"])
    for source, _ in bound(name):
        if source.startswith("./secrets"):
            continue
        assert (DEPLOY / source).exists() if source.startswith(".") else source in whole["volumes"], source


def test_everything_that_it_defines_is_used() -> None:
    whole = compose()
    for kind in ("secrets", "configs", "networks"):
        used = {one for name in SERVICES for one in names(service(name).get(kind, []))}
        assert used == set(whole[kind])
    assert {source for name in SERVICES for source, _ in bound(name) if not source.startswith(".")} == set(
        whole["volumes"]
    )


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_has_more_rights_than_it_needs(name: str) -> None:
    one = service(name)
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert ("cap_add" in one) == (name in GIVEN_RIGHTS)
    assert "privileged" not in one
    assert ":latest" not in one["image"]
    assert one["image"] == "trunkline" or ":" in one["image"]
    assert one["restart"] in ("unless-stopped", "on-failure:3")


@pytest.mark.parametrize("name", SERVICES)
def test_the_world_reaches_nginx_alone(name: str) -> None:
    ports = service(name).get("ports", [])
    assert ports == ["443:443"] if name == "nginx" else all(port.startswith("127.0.0.1:") for port in ports)


def test_the_database_and_the_broker_stand_on_a_network_that_leads_nowhere() -> None:
    assert compose()["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "valkey"):
        assert service(name)["networks"] == ["inside"]


def test_nobody_starts_before_the_schema_is_there_and_the_schema_not_before_its_database() -> None:
    for name in ("worker", "relay", "receiver", "console"):
        assert service(name)["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert service("migrate")["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert "healthcheck" in service("postgres")
    assert "healthcheck" in service("valkey")


def test_the_broker_keeps_a_file_and_drops_nothing() -> None:
    command = " ".join(service("valkey")["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert ("broker", "/data") in bound("valkey")


def test_a_worker_gets_more_time_to_stop_than_a_task_may_take() -> None:
    (worker,) = [process for process in of_compose() if process.name == "worker"]
    assert worker.grace > max(kind().task_limit.total_seconds() for kind in UPSTREAMS.values())


def test_make_secrets_makes_every_secret_and_no_other_twice(tmp_path: Path) -> None:
    script = tmp_path / "deploy" / "make-secrets"
    script.parent.mkdir()
    script.write_bytes((DEPLOY / "make-secrets").read_bytes())
    subprocess.run(["/bin/sh", str(script)], check=True)
    folder = script.parent / "secrets"
    made = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
    subprocess.run(["/bin/sh", str(script)], check=True)

    wanted = {Path(one["file"]).name for name, one in compose()["secrets"].items() if name not in YOURS}
    assert set(made) == wanted
    assert made == {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
    assert len(made["secret-key"]) == 64
    ssl.create_default_context().load_cert_chain(folder / "tls.crt", folder / "tls.key")
    assert f"trunkline:{made['postgres-password']}@postgres:5432/trunkline" in made["database-url"]
    assert f":{made['valkey-password']}@valkey:6379/0" in made["broker-url"]
    assert oct(folder.stat().st_mode)[-3:] == "700"
    assert os.access(DEPLOY / "make-secrets", os.X_OK)


def test_what_watches_it_is_set_up_as_each_program_understands(tmp_path: Path) -> None:
    with or_skip():
        checked = tools.run("promtool", "check", "config", "--syntax-only", DEPLOY / "prometheus" / "compose.yml")
        told = tools.run("amtool", "check-config", DEPLOY / "prometheus" / "alertmanager.yml")
    assert checked.returncode == 0, checked.stderr
    assert told.returncode == 0, told.stderr
    for name in ("grafana-source", "grafana-dashboards"):
        assert yaml.safe_load(compose()["configs"][name]["content"])["apiVersion"] == 1
    (provider,) = yaml.safe_load(compose()["configs"]["grafana-dashboards"]["content"])["providers"]
    (shown,) = [where for what, where in bound("grafana") if what == "./grafana/dashboard.json"]
    assert Path(shown).parent == Path(provider["options"]["path"])


def test_prometheus_reads_the_rules_and_the_key_that_it_is_given() -> None:
    configured = yaml.safe_load((DEPLOY / "prometheus" / "compose.yml").read_text())
    there = {where for _, where in bound("prometheus")} | {one["target"] for one in service("prometheus")["secrets"]}
    (job,) = configured["scrape_configs"]
    assert job["authorization"]["credentials_file"] in there
    assert {f"/etc/prometheus/{rules}" for rules in configured["rule_files"]} <= there
    assert job["dns_sd_configs"][0]["names"] == ["receiver"]
    assert "receiver" in SERVICES
