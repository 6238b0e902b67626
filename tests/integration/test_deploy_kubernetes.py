"""The Kubernetes manifests, as kubectl renders each overlay: of the schema, hardened, and no name leads nowhere."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.conftest import or_skip
from tests.deployed import DEPLOY, OVERLAYS, manifests, of_kubernetes, pods
from tests.services import tools
from worker.upstream_settings import UPSTREAMS

VERSIONS = ("1.30", "1.37")
"""The oldest that it is meant for, and the newest that the schemas are of."""

KEDA = "keda.sh/v1alpha1"
"""No schema of it can be had from the registries: its fields are compared with its documentation, below."""

overlays = pytest.mark.parametrize("overlay", sorted(path.name for path in OVERLAYS.iterdir()))

Object = dict[str, Any]


@cache
def rendered(overlay: str) -> str:
    with or_skip():
        return json.dumps(manifests(overlay))


def objects(overlay: str, *kinds: str) -> list[Object]:
    found: list[Object] = json.loads(rendered(overlay))
    return [one for one in found if not kinds or one["kind"] in kinds]


def templates(overlay: str) -> dict[str, Object]:
    return pods(objects(overlay))


def named(overlay: str, kind: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in objects(overlay, kind)}


def selected(overlay: str, selector: Object) -> set[str]:
    """Whose pods these labels choose."""
    wanted = selector.get("matchLabels", selector if "matchExpressions" not in selector else {}).items()
    found = {name for name, one in templates(overlay).items() if wanted <= one["metadata"]["labels"].items()}
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        among = {
            name
            for name in found
            if templates(overlay)[name]["metadata"]["labels"][expression["key"]] in expression["values"]
        }
        assert len(among) == len(expression["values"])
        found = among
    return found


@overlays
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_of_its_schema(overlay: str, version: str) -> None:
    for one in objects(overlay):
        if one["apiVersion"] != KEDA:
            kubernetes_validate.validate(one, version, strict=True)


@overlays
def test_every_pod_is_as_restricted_as_the_namespace_asks(overlay: str) -> None:
    (namespace,) = objects(overlay, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, template in templates(overlay).items():
        spec = template["spec"]
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        restricted = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["securityContext"] == restricted, name
        assert spec["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert all({"secret", "emptyDir"} & set(volume) for volume in spec.get("volumes", [])), name
        assert "memory" in container["resources"]["limits"], name
        assert re.search(r":(?!latest)[\w.-]+$", container["image"]), name


@overlays
def test_what_a_pod_names_is_there(overlay: str) -> None:
    maps, accounts = named(overlay, "ConfigMap"), named(overlay, "ServiceAccount")
    for name, template in templates(overlay).items():
        spec = template["spec"]
        (container,) = spec["containers"]
        assert spec["serviceAccountName"] in accounts, name
        assert {source["configMapRef"]["name"] for source in container.get("envFrom", [])} <= set(maps), name
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        assert {mount["name"] for mount in container.get("volumeMounts", [])} == set(volumes), name
        assert {one["secret"]["secretName"] for one in volumes.values() if "secret" in one} <= {"trunkline"}, name
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if "httpGet" in container.get(probe, {}):
                assert container[probe]["httpGet"]["port"] in ports, (name, probe)


@overlays
def test_every_file_of_a_setting_stands_where_the_secrets_are(overlay: str) -> None:
    for process in of_kubernetes(overlay):
        files = {value for name, value in process.environment.items() if name.endswith("_FILE")}
        assert files == set(process.secrets), process.name


@overlays
def test_every_selector_selects_and_every_service_has_its_port(overlay: str) -> None:
    for one in objects(overlay, "Deployment"):
        name = one["metadata"]["name"]
        assert selected(overlay, one["spec"]["selector"]) == {name}
        for constraint in templates(overlay)[name]["spec"].get("topologySpreadConstraints", []):
            assert selected(overlay, constraint["labelSelector"]) == {name}
    for one in objects(overlay, "Service"):
        (name,) = selected(overlay, one["spec"]["selector"])
        ports = {port["name"] for port in templates(overlay)[name]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports
    for one in objects(overlay, "PodDisruptionBudget"):
        assert selected(overlay, one["spec"]["selector"]) == {one["metadata"]["name"]}
    for one in objects(overlay, "NetworkPolicy"):
        assert selected(overlay, one["spec"]["podSelector"])


@overlays
def test_whoever_must_outlast_a_zone_is_spread_and_drained_one_by_one(overlay: str) -> None:
    drained = named(overlay, "PodDisruptionBudget")
    for name in ("worker", "relay", "receiver"):
        constraints = templates(overlay)[name]["spec"]["topologySpreadConstraints"]
        assert {one["topologyKey"] for one in constraints} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        assert drained[name]["spec"]["maxUnavailable"] == 1


@overlays
def test_nobody_reaches_anybody_unless_it_is_said(overlay: str) -> None:
    nobody = named(overlay, "NetworkPolicy")["nobody"]["spec"]
    assert set(nobody) == {"podSelector", "policyTypes"}
    assert set(nobody["policyTypes"]) == {"Ingress", "Egress"}
    assert selected(overlay, nobody["podSelector"]) == set(templates(overlay))
    everybody = named(overlay, "NetworkPolicy")["stores"]["spec"]["podSelector"]
    assert selected(overlay, everybody) == set(templates(overlay))


@overlays
def test_alive_is_progress_and_ready_is_ready(overlay: str) -> None:
    for name, template in templates(overlay).items():
        (container,) = template["spec"]["containers"]
        if name in ("worker", "relay"):
            file = container["args"][container["args"].index("--alive-file") + 1]
            for probe in ("startupProbe", "livenessProbe"):
                assert container[probe]["exec"] == {"command": ["trunkline", "alive", file]}
            assert "readinessProbe" not in container
        elif name in ("receiver", "console"):
            assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_a_worker_gets_more_time_to_stop_than_a_task_may_take() -> None:
    (worker,) = [process for process in of_kubernetes("production") if process.name == "worker"]
    assert worker.grace > max(kind().task_limit.total_seconds() for kind in UPSTREAMS.values())


@overlays
def test_the_world_reaches_what_requesters_and_upstreams_call_and_no_more(overlay: str) -> None:
    (ingress,) = objects(overlay, "Ingress")
    (rule,) = ingress["spec"]["rules"]
    services = named(overlay, "Service")
    for path in rule["http"]["paths"]:
        backend = path["backend"]["service"]
        assert backend["port"]["name"] in {port["name"] for port in services[backend["name"]]["spec"]["ports"]}
    open_paths = {path["path"] for path in rule["http"]["paths"]}
    assert open_paths == {"/v1", "/callbacks", "/calls", "/sms", "/docs", "/openapi.json"}


def test_what_is_scaled_is_there_and_says_no_number_itself() -> None:
    deployments = named("production", "Deployment")
    for one in objects("production", "HorizontalPodAutoscaler", "ScaledObject"):
        target = one["spec"]["scaleTargetRef"]
        assert (target["kind"], target["apiVersion"]) == ("Deployment", "apps/v1")
        assert "replicas" not in deployments[target["name"]]["spec"]  # else each apply would bring it back
    (hpa,) = objects("production", "HorizontalPodAutoscaler")
    assert hpa["spec"]["minReplicas"] >= 3


def test_keda_asks_prometheus_for_a_figure_that_is_ours(tmp_path: Path) -> None:
    """Fields: https://keda.sh/docs/2.17/reference/scaledobject-spec/ and /scalers/prometheus/."""
    (scaled,) = objects("production", "ScaledObject")
    spec = scaled["spec"]
    assert set(scaled) == {"apiVersion", "kind", "metadata", "spec"}
    counts = {"pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount"}
    assert set(spec) == {"scaleTargetRef", "fallback", "triggers", *counts}
    assert all(isinstance(spec[name], int) for name in counts)
    assert set(spec["fallback"]) == {"failureThreshold", "replicas"}
    (trigger,) = spec["triggers"]
    assert set(trigger) == {"type", "metricType", "metadata"}
    assert set(trigger["metadata"]) == {"serverAddress", "query", "threshold"}
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert (trigger["type"], trigger["metricType"]) == ("prometheus", "AverageValue")
    assert 3 <= spec["minReplicaCount"] < spec["maxReplicaCount"]

    rules = tmp_path / "rules.yml"
    rules.write_text(
        json.dumps({"groups": [{"name": "keda", "rules": [{"record": "x:y", "expr": trigger["metadata"]["query"]}]}]})
    )
    with or_skip():
        done = tools.run("promtool", "check", "rules", rules)
    assert done.returncode == 0, done.stdout
    (asked,) = re.findall(r"trunkline_\w+", trigger["metadata"]["query"])
    alerted = (DEPLOY / "prometheus" / "alerts.yml").read_text() + (DEPLOY / "grafana" / "dashboard.json").read_text()
    assert re.search(rf"\b{asked}\b", alerted)  # and those are held against the figures themselves
