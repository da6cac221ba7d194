"""Joins the gateway: the one place where settings are read and parts meet."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect

from services.inference.access.authentication import Authenticator, TokenVerifier
from services.inference.access.known_keys import KnownKeys
from services.inference.deployments import DeploymentWatch
from services.inference.following import connect_for_good
from services.inference.gateway import Gateway, Limits
from services.inference.leftovers import PARTIAL, UPLOAD, leftovers, remove
from services.inference.live import LiveEvents
from services.inference.openapi import OPERATIONS
from services.inference.probes import Probes
from services.inference.serving.batcher import Batcher
from services.inference.serving.loading import VersionLoader
from services.inference.serving.models import ServedModels
from services.inference.serving.permission import LoadingPermission
from services.inference.settings import InferenceSettings, OidcSettings
from services.inference.traced import Traced
from services.inference.web.access import AccessMiddleware
from services.inference.web.metrics import Metrics
from services.inference.web.problems import answer_error
from services.inference.workload import Workload
from tidemill import telemetry
from tidemill.artifacts import open_store
from tidemill.bus import Bus
from tidemill.errors import TidemillError
from tidemill.signing import SigningFolder

log = logging.getLogger(__name__)

SERVICE = "inference"
MODELS = "models"
BUS_CLOSE_SECONDS = 2.0


def create_app(settings: InferenceSettings) -> Starlette:
    """The gateway as an ASGI application; its lifespan connects, watches and loads."""
    gateway = _join(settings)
    authenticator = Authenticator(
        operator_key=settings.api_key.get_secret_value() if settings.api_key is not None else None,
        keys=gateway.keys,
        tokens=_tokens(settings.oidc),
        project=settings.project,
        allowed_hosts=settings.allowed_hosts,
    )
    app = Starlette(
        routes=[operation.route() for operation in OPERATIONS],
        middleware=[
            Middleware(
                AccessMiddleware,
                authenticator=authenticator,
                public=[operation.path for operation in OPERATIONS if operation.is_public],
                own_tls=settings.own_tls,
                max_requests=settings.max_requests,
                metrics=gateway.metrics,
            )
        ],
        exception_handlers={
            HTTPException: answer_error,
            TidemillError: answer_error,
            ClientDisconnect: answer_error,
            Exception: answer_error,
        },
        lifespan=lambda _: _running(gateway, settings),
    )
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    return app


def _tokens(settings: OidcSettings) -> TokenVerifier | None:
    if settings.issuer is None or settings.audience is None:
        return None
    from services.inference.access.issuer_keys import IssuerKeys  # cryptography takes longer to import than a start may
    from services.inference.access.tokens import TokenRules, Tokens

    rules = TokenRules(
        issuer=settings.issuer,
        audience=settings.audience,
        scope_claim=settings.scope_claim,
        scope_prefix=settings.scope_prefix,
        project_claim=settings.project_claim,
        leeway=int(settings.leeway.total_seconds()),
    )
    return Tokens(rules, IssuerKeys(settings.issuer, jwks_url=settings.jwks_url, ca=settings.ca))


def _join(settings: InferenceSettings) -> Gateway:
    platform = settings.platform
    folder = platform.data_dir / SERVICE
    metrics = Metrics()
    bus = Bus.from_settings(platform, SERVICE)
    connected = asyncio.Event()
    store = open_store(platform.store_url, cache=platform.data_dir / "cache", cache_bytes=platform.cache_bytes)
    records = store.records()
    signing = SigningFolder.below(platform.data_dir, trusted_signers=platform.trusted_signers)
    traced = Traced(folder / "traced.json")
    models = ServedModels(
        VersionLoader(
            store,
            folder / MODELS,
            LoadingPermission(signing.trusted, records),
            parallel=settings.threads,
        ),
        loaded=traced.loaded,
        failed=lambda project, name: metrics.load_failures.labels(project, name).inc(),
        swapped=lambda project, name: metrics.swaps.labels(project, name).inc(),
    )
    batcher = Batcher(
        threads=settings.threads,
        max_batch=settings.max_batch,
        max_queued_rows=settings.max_queued_rows,
        observe=lambda project, name, rows: metrics.batch_rows.labels(project, name).observe(rows),
    )
    metrics.watch(queued_rows=lambda: batcher.queued_rows, loaded_versions=lambda: models.versions_loaded)
    return Gateway(
        limits=Limits(
            predict_bytes=settings.predict_bytes,
            upload_bytes=settings.upload_bytes,
            upload_files=settings.upload_files,
            max_instances=settings.max_instances,
        ),
        scratch=platform.data_dir / "scratch" / SERVICE,
        bus=bus,
        store=store,
        records=records,
        models=models,
        batcher=batcher,
        watch=DeploymentWatch(bus, models, connected=connected, file=folder / "deployments.json"),
        keys=KnownKeys(bus, connected=connected, file=folder / "access.json"),
        live=LiveEvents(bus),
        probes=Probes(bus, records, project=settings.project),
        workload=Workload(bus),
        metrics=metrics,
        connected=connected,
    )


@contextlib.asynccontextmanager
async def _running(gateway: Gateway, settings: InferenceSettings) -> AsyncIterator[None]:
    telemetry.configure(SERVICE, settings.platform.data_dir, log_level=settings.platform.log_level)
    gateway.metrics.export()
    gateway.batcher.start()
    left = [
        *leftovers(settings.platform.data_dir / SERVICE / MODELS, PARTIAL),
        *leftovers(gateway.scratch, UPLOAD),
    ]
    tasks = [
        asyncio.create_task(asyncio.to_thread(remove, left), name="remove leftovers"),
        asyncio.create_task(connect_for_good(gateway.bus, gateway.connected), name="connect"),
        asyncio.create_task(gateway.watch.run(), name="watch deployments"),
        asyncio.create_task(gateway.keys.run(), name="watch API keys"),
        asyncio.create_task(gateway.live.run(gateway.connected), name="live events"),
        asyncio.create_task(_become_ready(gateway), name="become ready"),
    ]
    try:
        yield
    finally:
        gateway.live.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await gateway.batcher.close()
        await gateway.models.close()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(gateway.bus.broker.stop(), BUS_CLOSE_SECONDS)
        telemetry.shutdown()


async def _become_ready(gateway: Gateway) -> None:
    await gateway.watch.known.wait()
    await gateway.keys.known.wait()
    await gateway.models.settled()
    gateway.ready.set()
    log.info("the gateway is ready with %d model versions", gateway.models.versions_loaded)
