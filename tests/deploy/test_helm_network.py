"""Who may reach whom: every pod fenced, and let out to what it needs."""

from __future__ import annotations

from tests.deploy.rendering import (
    EVERYTHING,
    Object,
    Pod,
    every,
    named,
    objects,
    of_kind,
    pods,
    render,
    rendered,
    selects,
    values,
)

PRIVATE = {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}


def ways(found: list[Object], pod: Pod, direction: str) -> list[Object]:
    """The rules of all policies that let something in or out of a pod."""
    return [
        rule
        for policy in of_kind(found, "NetworkPolicy")
        if selects(policy["spec"]["podSelector"], pod.labels)
        for rule in policy["spec"].get(direction, [])
    ]


def ports(rules: list[Object]) -> set[int]:
    return {port["port"] for rule in rules for port in rule["ports"]}


@every
def test_nothing_goes_in_or_out_but_what_is_listed(name: str) -> None:
    found = rendered(name)
    denied = named(found, "NetworkPolicy", "tidemill-default-deny")
    assert denied["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & denied["spec"].keys()
    for pod in pods(found):
        assert selects(denied["spec"]["podSelector"], pod.labels), pod.owner
        assert (ports(ways(found, pod, "ingress")) == {8000}) is (pod.service == "inference"), pod.owner
        out = ports(ways(found, pod, "egress"))
        store = 9000 if name == "minimal" else 443
        assert {53, 4222, store} <= out, f"{pod.owner} does not reach names, bus or store"
        needs_database = (pod.service == "registry" or pod.kind == "Job") and name != "minimal"
        assert (5432 in out) is needs_database, pod.owner
        assert (80 in out) is (pod.service in ("ingest", "trainer")), pod.owner


def test_what_is_fetched_from_outside_is_public() -> None:
    found = rendered("default")
    for policy in [one for one in of_kind(found, "NetworkPolicy") if "-outside-" in one["metadata"]["name"]]:
        for rule in policy["spec"]["egress"]:
            for peer in rule["to"]:
                assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(
                    peer["ipBlock"]["except"]
                )


def test_the_gateway_hears_its_ingress_controller_and_who_scales_and_scrapes() -> None:
    (rule,) = named(rendered("large"), "NetworkPolicy", "tidemill-inference")["spec"]["ingress"]
    namespaces = [peer["namespaceSelector"]["matchLabels"] for peer in rule["from"] if "namespaceSelector" in peer]
    assert [one["kubernetes.io/metadata.name"] for one in namespaces] == ["ingress-nginx", "keda", "monitoring"]


def test_the_charts_beside_this_one_are_fenced_as_well_and_gone_when_they_are() -> None:
    found = rendered("default")
    beside = {one["metadata"]["name"] for one in of_kind(found, "NetworkPolicy")} & {
        "tidemill-nats",
        "tidemill-postgres",
    }
    assert beside == {"tidemill-nats", "tidemill-postgres"}
    text = "".join(render(values(
        "default", bus__url="tls://nats.example:4222", nats__enabled=False,
        database__url="postgresql+psycopg://tidemill@db.example/tidemill", postgres__enabled=False,
    )).values())  # fmt: skip
    assert "tidemill-nats:" not in text
    assert "tidemill-postgres" not in text
    assert "tls://nats.example:4222" in text
    assert "postgresql+psycopg://tidemill@db.example/tidemill" in text


def test_tls_reaches_the_gateway_its_probes_and_those_who_ask_it() -> None:
    found = objects(EVERYTHING)
    (gateway,) = [pod for pod in pods(found) if pod.service == "inference"]
    (container,) = gateway.containers
    assert {container[probe]["httpGet"]["scheme"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} == {
        "HTTPS"
    }
    assert gateway.environment["TIDEMILL_INFERENCE_TLS_CERT"]["value"] == "/run/tidemill/tls/tls.crt"
    assert "TIDEMILL_INFERENCE_TLS" not in gateway.environment
    urls = {trigger["metadata"]["url"] for one in of_kind(found, "ScaledObject") for trigger in one["spec"]["triggers"]}
    assert urls == {"https://tidemill-inference.ml.svc:8000/metrics"}
    (monitor,) = of_kind(found, "ServiceMonitor")
    assert monitor["spec"]["endpoints"][0]["scheme"] == "https"
    (test,) = [pod for pod in pods(found) if pod.kind == "Pod"]
    assert test.environment["TIDEMILL_URL"]["value"] == "https://tidemill-inference.ml.svc:8000"
    (ingress,) = of_kind(found, "Ingress")
    assert ingress["spec"]["tls"] == [{"hosts": ["tidemill.example.com"], "secretName": "tidemill-gateway-tls"}]


def test_the_public_doors_lead_to_the_gateways_service() -> None:
    found = objects(EVERYTHING)
    (service,) = of_kind(found, "Service")
    name, (port,) = service["metadata"]["name"], service["spec"]["ports"]
    (ingress,) = of_kind(found, "Ingress")
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": name, "port": {"name": port["name"]}}
    (route,) = of_kind(found, "HTTPRoute")
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["spec"] == {
        "parentRefs": [{"name": "public"}],
        "hostnames": ["tidemill.example.com"],
        "rules": [{"backendRefs": [{"name": name, "port": port["port"]}]}],
    }
