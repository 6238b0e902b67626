"""Alerts, dashboard, runbook: what they name exists, each alert fires on what it is for, each has its section."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy.engine import Engine

from tests import services
from tests.conftest import or_skip
from tests.factory import make_requests
from tests.receiver import receiver, settings_for
from tests.runbook import ALERTS, DEPLOY, PARTS, alert_names, sections
from worker.cli import main

DASHBOARD = DEPLOY / "grafana" / "dashboard.json"

NOT_OURS = {"up"}
"""Prometheus makes it of each scrape."""


@pytest.fixture
def promtool() -> Iterator[str]:
    with or_skip():
        yield services.promtool()


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ALERTS.parent)


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def panel_expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def test_each_alert_fires_on_what_it_is_for_and_on_nothing_like_it(promtool: str) -> None:
    done = run(promtool, "test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tests_of_rules_have_both_cases_of_every_alert() -> None:
    tested = re.findall(r'- name: "(\w+) (fires|keeps still)"', (ALERTS.parent / "alerts_test.yml").read_text())
    assert sorted(tested) == sorted((name, case) for name in alert_names() for case in ("fires", "keeps still"))


def test_the_example_of_a_configuration_is_one(promtool: str) -> None:
    done = run(promtool, "check", "config", "--syntax-only", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_section_of_the_runbook_and_every_section_an_alert() -> None:
    assert sorted(sections()) == sorted(alert_names())


def test_every_alert_says_how_grave_it_is_and_where_it_is_explained() -> None:
    for rule in re.split(r"(?=^ +- alert:)", ALERTS.read_text(), flags=re.MULTILINE)[1:]:
        (name,) = re.findall(r"- alert: (\w+)", rule)
        assert re.search(r"severity: (page|ticket)$", rule, re.MULTILINE), name
        assert re.search(rf'runbook_url: "\S+/deploy/runbook.md#{name.lower()}"', rule), name
        assert all(f"{part}: " in rule for part in ("summary", "description")), name


@pytest.mark.parametrize("name", alert_names())
def test_a_section_has_every_part_in_order(name: str) -> None:
    text = sections()[name].text
    places = [text.find(part) for part in PARTS]
    assert places == sorted(places)
    assert places[0] >= 0


@pytest.mark.parametrize("name", alert_names())
def test_the_commands_of_a_section_exist_with_these_options(name: str) -> None:
    section = sections()[name]
    for command in (section.look, section.act):
        words = shlex.split(command)
        if words[0] == "trunkline":
            known = help_of([word for word in words[1:3] if re.fullmatch("[a-z]+", word)])
            assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[a-z-]+", known)), command


def help_of(words: list[str]) -> str:
    """Of the longest command that these words name."""
    for count in range(len(words), 0, -1):
        done = CliRunner().invoke(main, [*words[:count], "--help"])
        if done.exit_code == 0:
            return done.output
    raise AssertionError(words)


def test_what_alerts_and_dashboard_ask_for_is_in_our_metrics(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path
) -> None:
    make_requests(engine)
    url = engine.url.render_as_string(hide_password=False)
    with receiver(settings_for(monkeypatch, url, str(tmp_path)), engine) as api:
        api.get("/readyz")
        ours = set(re.findall(r"^# TYPE (\w+) ", api.get("/metrics").text, re.MULTILINE))
    ours |= {f"{name}_{end}" for name in ours for end in ("count", "sum", "bucket")}

    said = "\n".join([ALERTS.read_text(), *panel_expressions()])
    asked = set(re.findall(r"\btrunkline_\w+", said))

    assert asked
    assert asked - ours - NOT_OURS == set()


def test_every_panel_asks_what_prometheus_understands(promtool: str, tmp_path: Path) -> None:
    variables = {"$__rate_interval": "5m", "$upstream": "avanser"}
    rules = []
    for place, expression in enumerate(panel_expressions()):
        for name, value in variables.items():
            expression = expression.replace(name, value)
        rules.append({"record": f"panel:{place}", "expr": expression})
    path = tmp_path / "panels.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    done = run(promtool, "check", "rules", str(path))

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_the_dashboard_takes_whatever_prometheus_it_is_given() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    (source,) = [one for one in dashboard["templating"]["list"] if one["type"] == "datasource"]
    assert dashboard["schemaVersion"] >= 39
    assert {panel["datasource"]["uid"] for panel in panels()} == {f"${{{source['name']}}}"}
    assert len({panel["id"] for panel in panels()}) == len(panels())
