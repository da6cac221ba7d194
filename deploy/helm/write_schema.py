"""Write values.schema.json: what may stand in the chart's values. Names of settings come from the settings classes.

PYTHONPATH=libs:. python deploy/helm/write_schema.py          # after a setting was added or removed
PYTHONPATH=libs:. python deploy/helm/write_schema.py --check  # ends with 1 when the file is not up to date
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from services.compressor.settings import CompressorSettings
from services.inference.settings import InferenceSettings
from services.ingest.settings import IngestSettings
from services.preprocess.settings import PreprocessSettings
from services.registry.settings import RegistrySettings
from services.trainer.settings import TrainerSettings
from tidemill.contracts import ResourceClass
from tidemill.settings import PlatformSettings, PriceSettings, StreamSettings

CHART = Path(__file__).parent / "tidemill"
SCHEMA = CHART / "values.schema.json"

SHARED: tuple[type[BaseSettings], ...] = (PlatformSettings, PriceSettings, StreamSettings)
SERVICES: dict[str, type[BaseSettings]] = {
    "ingest": IngestSettings,
    "preprocess": PreprocessSettings,
    "trainer": TrainerSettings,
    "compressor": CompressorSettings,
    "registry": RegistrySettings,
    "inference": InferenceSettings,
}
FOREIGN = r"^(OTEL_[A-Z_]+|HF_ENDPOINT|HTTPS?_PROXY|NO_PROXY|AWS_METADATA_ENDPOINT)$"
"""Variables that are not ours and may be set as well."""

Schema = dict[str, Any]


def variables(settings: type[BaseSettings]) -> set[str]:
    """The environment variables that a settings class reads itself; those of settings inside it are read by theirs."""
    prefix = settings.model_config.get("env_prefix", "")
    return {
        f"{prefix}{name}".upper()
        for name, field in settings.model_fields.items()
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseSettings))
    }


def secrets(settings: type[BaseSettings]) -> set[str]:
    """Those of them whose value is a secret."""
    prefix = settings.model_config.get("env_prefix", "")
    return {
        f"{prefix}{name}".upper()
        for name, field in settings.model_fields.items()
        if SecretStr in (field.annotation, *get_args(field.annotation))
    }


def readable(settings: type[BaseSettings]) -> set[str]:
    """All variables that a settings class takes: a secret may be in the file that its name with ``_FILE`` says."""
    return variables(settings) | {f"{name}_FILE" for name in secrets(settings)}


def set_by_chart() -> set[str]:
    """Variables that the templates set from other values."""
    templates = "".join(path.read_text(encoding="utf-8") for path in (CHART / "templates").glob("*.*"))
    known = set().union(*(readable(one) for one in (*SHARED, *SERVICES.values())))
    graces = {f"TIDEMILL_{service.upper()}_SHUTDOWN_GRACE" for service in SERVICES}
    return graces | {name for name in known if f"{name}," in templates or f'"{name}"' in templates}


def named(*settings: type[BaseSettings]) -> Schema:
    """Variables by name with their values: those that a person may set."""
    taken = set_by_chart()
    names = sorted(set().union(*(variables(one) - secrets(one) - taken for one in settings)))
    value = {"type": ["string", "number", "boolean"]}
    return {
        "type": "object",
        "description": "variables of docs/settings.md, without secrets and what the chart sets itself",
        "properties": dict.fromkeys(names, value),
        "patternProperties": {FOREIGN: value},
        "additionalProperties": False,
    }


def mapping(properties: Schema, *required: str) -> Schema:
    """An object with these keys and no other."""
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        found["required"] = list(required)
    return found


def whole(least: int = 0) -> Schema:
    """A whole number."""
    return {"type": "integer", "minimum": least}


TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
FREE: Schema = {"type": "object"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
QUANTITY: Schema = {"type": ["string", "number"], "pattern": r"^[0-9.]+(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"}
BYTES: Schema = {"type": "string", "pattern": r"^[0-9.]+ ?(KiB|MiB|GiB|TiB)$"}
NAME: Schema = {"type": "string", "pattern": r"^$|^[a-z0-9]([a-z0-9.\-]*[a-z0-9])?$", "maxLength": 253}
PEERS: Schema = {"type": "array", "items": FREE}
OUTSIDE: Schema = mapping({"to": PEERS, "port": whole(1)})
CA: Schema = mapping({"caSecret": NAME})
RESOURCES: Schema = mapping(
    {
        "requests": {"type": "object", "additionalProperties": QUANTITY},
        "limits": {"type": "object", "additionalProperties": QUANTITY},
    }
)


def placed(settings: Schema, **more: Schema) -> Schema:
    """The values of one Deployment."""
    return mapping(
        {
            "shutdownGraceSeconds": whole(1),
            "settings": settings,
            "resources": RESOURCES,
            "scratch": mapping({"size": QUANTITY, "cache": BYTES, "storageClass": TEXT}, "size", "cache"),
            "nodeSelector": TEXTS,
            "tolerations": {"type": "array", "items": FREE},
            "affinity": FREE,
            **more,
        }
    )


def worker(service: str, **more: Schema) -> Schema:
    """The values of a service that works in jobs."""
    scaling = mapping({"min": whole(), "max": whole(1), "workPerReplica": whole(1)})
    return placed(named(SERVICES[service]), replicas=whole(), autoscaling=scaling, secretEnvironment=NAME, **more)


def pool() -> Schema:
    """The values of a pool of trainers."""
    taken = [one for one in get_args(ResourceClass) if one != "io"]
    classes: Schema = {"type": "array", "items": {"enum": taken}, "minItems": 1, "uniqueItems": True}
    gpu = mapping({"count": whole(), "resource": TEXT, "runtimeClass": TEXT})
    return worker(
        "trainer", enabled=FLAG, image=TEXT, resourceClasses=classes, plans=FLAG, sharedMemory=QUANTITY, gpu=gpu
    )


def inference() -> Schema:
    """The values of the gateway."""
    ingress = {"enabled": FLAG, "className": TEXT, "host": TEXT, "tlsSecret": NAME, "annotations": TEXTS}
    service_type = {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}
    return placed(
        named(InferenceSettings),
        replicas=whole(),
        autoscaling=mapping({"min": whole(1), "max": whole(1), "cpuUtilization": whole(1)}),
        tls=mapping({"secret": NAME}),
        service=mapping({"type": service_type, "port": whole(1), "annotations": TEXTS}),
        ingress=mapping(ingress),
        httpRoute=mapping({"enabled": FLAG, "host": TEXT, "parentRefs": PEERS}),
    )


def schema() -> Schema:
    """The whole schema."""
    image = {"registry": TEXT, "repository": TEXT, "tag": TEXT, "pullSecrets": {"type": "array", "items": NAME}}
    image["pullPolicy"] = {"enum": ["Always", "IfNotPresent", "Never"]}
    bus_url = {"type": "string", "pattern": r"^$|^(nats|tls)://"}
    store_url = {"type": "string", "pattern": r"^$|^s3://[^/]+"}
    database_url = {"type": "string", "pattern": r"^$|^postgresql\+[a-z]+://"}
    properties: Schema = {
        "nameOverride": NAME,
        "fullnameOverride": NAME,
        "image": mapping(image),
        "bus": mapping(
            {"url": bus_url, "ackWait": {"type": "string", "pattern": "^PT[0-9]"}, "tls": CA,
             "streamReplicas": {"enum": [1, 3, 5]}}
        ),
        "store": mapping(
            {"url": store_url, "endpoint": TEXT, "region": TEXT, "credentialsInSecrets": FLAG,
             "encrypted": FLAG, "notify": TEXT, "tls": CA},
            "url",
        ),
        "database": mapping({"url": database_url, "tls": CA, "sqlite": FLAG}),
        "secrets": mapping(dict.fromkeys((*SERVICES, "provision"), NAME), *SERVICES, "provision"),
        "signing": mapping({"trustedSigners": NAME}, "trustedSigners"),
        "telemetry": mapping(
            {"otlpEndpoint": TEXT, "logLevel": {"enum": ["DEBUG", "INFO", "WARNING", "ERROR"]}}
        ),
        "settings": named(*SHARED),
        **{service: worker(service) for service in ("ingest", "preprocess", "compressor")},
        "trainer": mapping({"pools": {"type": "object", "additionalProperties": pool(), "minProperties": 1}}, "pools"),
        "registry": placed(named(RegistrySettings), replicas=whole(1)),
        "inference": inference(),
        "provision": mapping({"resources": RESOURCES}),
        "autoscaling": mapping(
            {"enabled": FLAG, "pollingSeconds": whole(1), "cooldownSeconds": whole(), "scaleDownWindowSeconds": whole(),
             "gatewayKey": mapping({"secret": NAME, "key": TEXT})}
        ),
        "disruptionBudgets": FLAG,
        "topologySpread": mapping(
            {"keys": {"type": "array", "items": TEXT},
             "whenUnsatisfiable": {"enum": ["ScheduleAnyway", "DoNotSchedule"]}}
        ),
        "priorityClassName": NAME,
        "serviceAccounts": mapping({"annotations": TEXTS}),
        "podAnnotations": TEXTS,
        "networkPolicies": mapping(
            {"enabled": FLAG, "gatewayFrom": PEERS, "kedaNamespace": NAME, "monitoringNamespace": NAME,
             "outside": mapping(dict.fromkeys(("ingest", "trainer", "inference"), PEERS)),
             **dict.fromkeys(("bus", "store", "database", "telemetry"), OUTSIDE)}
        ),
        "monitoring": mapping(
            {"serviceMonitor": mapping({"enabled": FLAG, "interval": TEXT, "labels": TEXTS}), "annotations": FLAG,
             "dashboards": mapping({"enabled": FLAG, "label": TEXT})}
        ),
        "nats": {"type": "object", "properties": {"enabled": FLAG}, "required": ["enabled"]},
        "postgres": {"type": "object", "properties": {"enabled": FLAG}, "required": ["enabled"]},
        "global": FREE,
    }  # fmt: skip
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of Tidemill's chart"} | mapping(
        properties
    )


def text() -> str:
    """The file's content."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        current = SCHEMA.is_file() and SCHEMA.read_text(encoding="utf-8") == text()
        if not current:
            print(f"{SCHEMA} is not up to date: run deploy/helm/write_schema.py", file=sys.stderr)
        sys.exit(0 if current else 1)
    SCHEMA.write_text(text(), encoding="utf-8")
