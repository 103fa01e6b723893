"""The Kubernetes manifests, checked against each other and against the engine."""

import json
import re
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from engine.config.engine import EngineConfig, load_engine_config
from engine.config.risk import load_risk_policy
from engine.domain.values import AccountId
from engine.sim.certificate import load_or_make_certificate

ROOT: Final = Path(__file__).parents[1]
MANIFESTS: Final = tuple(sorted((ROOT / "k8s").glob("*.yaml")))

# Native sidecars are on by default since 1.29, the oldest version that the pod runs on.
KUBERNETES: Final = ("1.29", "1.31", "1.33", "1.35", "1.37")

Json = dict[str, Any]


def documents(file: Path) -> list[Json]:
    return [document for document in yaml.safe_load_all(file.read_text("utf-8")) if document]


ALL: Final = [document for file in MANIFESTS for document in documents(file)]


def one(kind: str, name: str) -> Json:
    [found] = [item for item in ALL if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


def pod_template() -> Json:
    template: Json = one("StatefulSet", "engine")["spec"]["template"]
    return template


def pod() -> Json:
    spec: Json = pod_template()["spec"]
    return spec


def containers() -> list[Json]:
    return [*pod()["initContainers"], *pod()["containers"]]


def container(name: str) -> Json:
    [found] = [item for item in containers() if item["name"] == name]
    return found


# --- Kubernetes ----------------------------------------------------------------------------


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
def test_every_manifest_fits_the_schema_of_every_supported_version(
    file: Path, version: str
) -> None:
    found = documents(file)

    assert found
    for document in found:
        assert kubernetes_validate.validate(document, version, strict=True) == version


def test_the_schema_check_notices_a_misspelt_field() -> None:
    broken = json.loads(json.dumps(one("StatefulSet", "engine")))
    broken["spec"]["template"]["spec"]["terminationGracePeriodSecs"] = 60

    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriodSecs"):
        kubernetes_validate.validate(broken, KUBERNETES[-1], strict=True)


def test_there_is_exactly_one_engine_and_a_person_decides_when_it_restarts() -> None:
    workloads = [item for item in ALL if "template" in item.get("spec", {})]

    assert [(item["kind"], item["metadata"]["name"]) for item in workloads] == [
        ("StatefulSet", "engine")
    ]
    spec = workloads[0]["spec"]
    assert spec["replicas"] == 1
    assert spec["updateStrategy"] == {"type": "OnDelete"}
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 60


def test_the_journal_is_on_a_volume_that_only_one_pod_can_have() -> None:
    [claim] = one("StatefulSet", "engine")["spec"]["volumeClaimTemplates"]

    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert one("StatefulSet", "engine")["spec"]["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }
    assert mounts("engine")["/var/lib/engine"]["name"] == claim["metadata"]["name"]
    assert not any("/var/lib/engine" in mounts(other) for other in ("gateway",))


@pytest.mark.parametrize("name", ["gateway", "engine"])
def test_no_container_can_do_more_than_it_must(name: str) -> None:
    assert pod()["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod().keys()
    assert not any("hostPath" in volume for volume in pod()["volumes"])


def test_the_pod_has_no_token_of_the_cluster() -> None:
    account = one("ServiceAccount", pod()["serviceAccountName"])

    assert account["automountServiceAccountToken"] is False
    assert pod()["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", ["gateway", "engine"])
def test_every_container_is_bounded_and_comes_from_a_named_image(name: str) -> None:
    found = container(name)

    assert found["image"] == "ibkr-execution-engine:0.1.0"
    assert set(found["resources"]["requests"]) == {"cpu", "memory"}
    assert "memory" in found["resources"]["limits"]


def test_the_gateway_is_a_native_sidecar_that_only_the_pod_can_reach() -> None:
    gateway = container("gateway")
    options = arguments("gateway")

    assert [item["name"] for item in pod()["initContainers"]] == ["gateway"]
    assert gateway["restartPolicy"] == "Always"
    assert gateway["command"][:2] == ["engine", "sim"]
    assert options["--host"] == "127.0.0.1"
    assert "ports" not in gateway
    # A login must not be repeated by a probe, and a probe from outside cannot see loopback.
    assert not {"livenessProbe", "readinessProbe"} & gateway.keys()
    assert "exec" in gateway["startupProbe"]
    assert f'("127.0.0.1", {options["--port"]})' in gateway["startupProbe"]["exec"]["command"][-1]


# --- The pod and the files it reads --------------------------------------------------------


def mounts(name: str) -> dict[str, Json]:
    return {mount["mountPath"]: mount for mount in container(name)["volumeMounts"]}


def arguments(name: str) -> dict[str, str]:
    words = container(name)["command"][2:]
    return dict(zip(words[::2], words[1::2], strict=True))


def mount_of(name: str, path: str) -> Json:
    """The mount that a path of a container is in."""
    found = {at: mount for at, mount in mounts(name).items() if Path(path).is_relative_to(at)}
    assert found, f"{path} is in no mount of the container {name}"
    closest: Json = found[max(found, key=len)]
    return closest


def volume(name: str) -> Json:
    found: list[Json] = [item for item in pod()["volumes"] if item["name"] == name]
    return found[0]


def config_map_of(name: str, path: str) -> Json:
    """The ConfigMap that shows as the folder of `path` in a container."""
    return one("ConfigMap", volume(mount_of(name, path)["name"])["configMap"]["name"])


def engine_yaml() -> Json:
    """The configuration as plain YAML, for the paths in it."""
    path = arguments("engine")["--config"]
    loaded: Json = yaml.safe_load(config_map_of("engine", path)["data"][Path(path).name])
    return loaded


@pytest.fixture
def config(tmp_path: Path) -> EngineConfig:
    """The configuration as the engine in the pod reads it, its mounts under `tmp_path`."""
    path = arguments("engine")["--config"]
    text = config_map_of("engine", path)["data"][Path(path).name]
    for path_in_pod in mounts("engine"):
        (tmp_path / path_in_pod.strip("/")).mkdir(parents=True)
    anywhere = "|".join(re.escape(path_in_pod) for path_in_pod in mounts("engine"))
    text = re.sub(rf"(?<=: )(?=(?:{anywhere})(?:/|$))", str(tmp_path), text, flags=re.MULTILINE)
    # What the sidecar has done by the time the engine starts.
    load_or_make_certificate(tmp_path / arguments("gateway")["--cert-dir"].strip("/"))
    file = tmp_path / "engine.yaml"
    file.write_text(text, encoding="utf-8")
    return load_engine_config(file, {})


def test_the_engine_takes_its_configuration(config: EngineConfig, tmp_path: Path) -> None:
    [session] = config.sessions

    assert config.mode == "paper"
    assert config.state_dir == tmp_path / "var/lib/engine"
    assert session.tls.verify == "ca"
    assert session.compete == "never"


def test_the_engine_and_the_gateway_beside_it_mean_the_same(config: EngineConfig) -> None:
    [session] = config.sessions
    options = arguments("gateway")
    certificate = engine_yaml()["sessions"][0]["tls"]["ca_file"]

    assert session.gateway == f"https://{options['--host']}:{options['--port']}"
    assert list(session.accounts) == options["--accounts"].split(",")
    # The certificate's folder is one volume, which the engine may only read.
    assert str(Path(certificate).parent) == options["--cert-dir"]
    written, read = mounts("gateway")[options["--cert-dir"]], mount_of("engine", certificate)
    assert written["name"] == read["name"]
    assert "readOnly" not in written
    assert read["readOnly"] is True
    assert "emptyDir" in volume(read["name"])


def test_every_path_of_the_configuration_is_on_a_volume() -> None:
    plain = engine_yaml()

    assert volume_kind(plain["risk"]["file"]) == "configMap"
    assert mount_of("engine", plain["state_dir"])["name"] == "state"
    variables = {item["name"]: item["value"] for item in container("engine")["env"]}
    assert variables == {"ENGINE_STATE_DIR": plain["state_dir"]}
    for name in ("gateway", "engine"):
        assert "emptyDir" in volume(mounts(name)["/tmp"]["name"])


def volume_kind(path: str) -> str:
    kinds = volume(mount_of("engine", path)["name"]).keys() - {"name"}
    [kind] = kinds
    return kind


def test_a_changed_limit_reaches_the_pod() -> None:
    path = engine_yaml()["risk"]["file"]
    mount = mount_of("engine", path)
    config_map = config_map_of("engine", path)

    # Any of these would keep the first version for ever, or hide a part of the folder.
    assert "subPath" not in mount
    assert "subPathExpr" not in mount
    assert "items" not in volume(mount["name"])["configMap"]
    assert config_map.get("immutable", False) is False
    assert mount["mountPath"] == str(Path(path).parent)
    assert list(config_map["data"]) == [Path(path).name]


def test_the_limits_are_valid_and_know_every_account(config: EngineConfig, tmp_path: Path) -> None:
    path = engine_yaml()["risk"]["file"]
    file = tmp_path / "risk.yaml"
    file.write_text(config_map_of("engine", path)["data"][Path(path).name], encoding="utf-8")

    policy = load_risk_policy(file)

    assert policy.problems() == ()
    assert policy.version >= 1
    assert policy.approved_by
    configured = {AccountId(account) for session in config.sessions for account in session.accounts}
    assert set(policy.accounts) == configured


@pytest.mark.parametrize(
    ("probe", "path"),
    [("startupProbe", "/startupz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")],
)
def test_the_probes_ask_the_metrics_listener(probe: str, path: str, config: EngineConfig) -> None:
    ports = {port["name"]: port["containerPort"] for port in container("engine")["ports"]}

    asked = container("engine")[probe]["httpGet"]

    assert asked == {"path": path, "port": "metrics"}
    assert ports == {"metrics": config.metrics.port}
    # Loopback would be out of the kubelet's reach.
    assert config.metrics.host == "0.0.0.0"


def test_prometheus_and_nobody_else_reaches_the_pod(config: EngineConfig) -> None:
    policy = one("NetworkPolicy", "engine")["spec"]
    annotations = pod_template()["metadata"]["annotations"]
    [service_port] = one("Service", "engine")["spec"]["ports"]

    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    assert policy["egress"] == []
    assert [rule["ports"] for rule in policy["ingress"]] == [
        [{"protocol": "TCP", "port": "metrics"}]
    ]
    assert all(rule["from"] for rule in policy["ingress"])
    assert config.api.host == "127.0.0.1"
    assert annotations["prometheus.io/port"] == str(config.metrics.port)
    assert service_port == {
        "name": "metrics",
        "port": config.metrics.port,
        "targetPort": "metrics",
    }


def test_the_service_is_headless_and_shows_an_engine_that_is_not_ready() -> None:
    spec = one("Service", "engine")["spec"]

    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True
    assert one("StatefulSet", "engine")["spec"]["serviceName"] == "engine"


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("StatefulSet", ("selector", "matchLabels")),
        ("Service", ("selector",)),
        ("PodDisruptionBudget", ("selector", "matchLabels")),
        ("NetworkPolicy", ("podSelector", "matchLabels")),
    ],
)
def test_every_selector_means_the_engine_pod(kind: str, keys: tuple[str, ...]) -> None:
    labels = pod_template()["metadata"]["labels"]

    selected = one(kind, "engine")["spec"]
    for key in keys:
        selected = selected[key]

    assert selected
    assert selected.items() <= labels.items()


def test_no_node_drain_takes_a_healthy_engine() -> None:
    spec = one("PodDisruptionBudget", "engine")["spec"]

    assert spec["maxUnavailable"] == 0
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
