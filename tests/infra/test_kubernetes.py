"""The manifest for Kubernetes: what it runs is the model image, as the image is made, and it opens nothing.

Its shape was checked once against the published schemas of Kubernetes 1.30 to 1.37 (kubernetes-validate, strict).
"""

import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from edge.settings import settings_from
from functions.rollout.image import EDGE_USER, SHELF
from tests.infra.estate import ROOT

DOCUMENTS = list(yaml.safe_load_all((ROOT / "infra/kubernetes/inference.yaml").read_text("utf-8")))
DEPLOYMENT, SERVICE, BUDGET, POLICY = DOCUMENTS
POD: Mapping[str, Any] = DEPLOYMENT["spec"]["template"]["spec"]
CONTAINER: Mapping[str, Any] = POD["containers"][0]
LABELS: Mapping[str, str] = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]


def test_it_is_a_deployment_that_is_reached_through_a_service_and_fenced_by_a_policy() -> None:
    kinds = [(one["apiVersion"], one["kind"]) for one in DOCUMENTS]
    assert kinds == [
        ("apps/v1", "Deployment"),
        ("v1", "Service"),
        ("policy/v1", "PodDisruptionBudget"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
    ]
    assert {one["metadata"]["name"] for one in DOCUMENTS} == {"inference"}


def test_every_selector_finds_the_pods() -> None:
    selected = [
        DEPLOYMENT["spec"]["selector"]["matchLabels"],
        SERVICE["spec"]["selector"],
        BUDGET["spec"]["selector"]["matchLabels"],
        POLICY["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(labels.items() <= LABELS.items() for labels in selected)


def test_it_listens_and_is_asked_where_the_program_answers() -> None:
    listens = settings_from({"MODEL_STORE_URL": "https://a.blob.core.windows.net/models/", "MODEL_SIGNATURES": "off"})
    assert CONTAINER["ports"] == [{"name": "score", "containerPort": listens.http_port}]
    assert SERVICE["spec"]["ports"] == [{"name": "score", "port": 80, "targetPort": "score"}]
    probes = [CONTAINER[f"{kind}Probe"]["httpGet"] for kind in ("liveness", "readiness")]
    assert probes == [{"path": "/health", "port": "score"}, {"path": "/ready", "port": "score"}]
    answered = (ROOT / "edge/app.py").read_text("utf-8")
    assert all(f'"{probe["path"]}"' in answered for probe in probes)


def test_it_runs_as_the_images_user_with_nothing_to_gain() -> None:
    assert POD["securityContext"]["runAsUser"] == EDGE_USER
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["automountServiceAccountToken"] is False
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_what_the_program_writes_beside_the_model_may_be_written() -> None:
    written = re.findall(r'settings\.model_folder / "(\w+)"', (ROOT / "edge/device.py").read_text("utf-8"))
    mounted = {one["mountPath"]: one["name"] for one in CONTAINER["volumeMounts"]}
    assert set(mounted) == {"/tmp", *(f"{SHELF}/{name}" for name in written)}  # noqa: S108  # a container's own
    volumes = {one["name"]: one["emptyDir"] for one in POD["volumes"]}
    assert set(volumes) == set(mounted.values())
    assert all(one["sizeLimit"] for one in volumes.values())


def test_nobody_reaches_it_but_who_is_labelled_and_it_reaches_nobody() -> None:
    assert POLICY["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert POLICY["spec"]["egress"] == []
    (way,) = POLICY["spec"]["ingress"]
    assert way["from"] == [{"podSelector": {"matchLabels": {"asks": "inference"}}}]


@pytest.mark.parametrize("name", ["IMAGE", "KEYS"])
def test_what_is_to_be_replaced_stands_there_once_and_the_document_says_how(name: str) -> None:
    plain = "\n".join(
        line.partition(" #")[0]
        for line in (ROOT / "infra/kubernetes/inference.yaml").read_text("utf-8").splitlines()
        if not line.startswith("#")
    )
    assert len(re.findall(rf"\b{name}\b", plain)) == 1
    assert f"s|{name}|" in (ROOT / "docs/azure.md").read_text("utf-8")
