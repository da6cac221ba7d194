"""Whether a version may be loaded: a trusted signer has to have signed it, and nobody may have revoked it."""

from __future__ import annotations

import logging

from tidemill.contracts import DeployedVersion
from tidemill.errors import PermanentError, TransientError
from tidemill.records import RecordStore
from tidemill.records.schema import VersionRevoked
from tidemill.signing import TrustedSigners

log = logging.getLogger(__name__)


class Revoked(PermanentError):
    """The version was revoked; it is not loaded again."""


class LoadingPermission:
    """Asked before every load."""

    def __init__(self, signers: TrustedSigners, records: RecordStore) -> None:
        self._signers = signers
        self._records = records

    async def check(self, project: str, name: str, deployed: DeployedVersion) -> None:
        """Return when the version may be loaded.

        The bucket of deployments names no revoked version; but what is in it, or remembered from it, can be old.

        Raises:
            NotTrusted: nobody trusted has signed this package under this name and number.
            Revoked: it was revoked; says why.
            CorruptArtifact: the chain of decisions is broken, so nobody knows.
        """
        self._signers.verify(project, name, deployed.version, deployed.model.digest, deployed.signature)
        try:
            chain = await self._records.decisions(project)
        except TransientError as error:
            # A gateway starts while the store is away, with what is on its disk and what it was told to serve.
            log.warning("whether version %d of %s was revoked cannot be told: %s", deployed.version, name, error)
            return
        for record in chain:
            revoked = record.decision
            if isinstance(revoked, VersionRevoked) and (revoked.name, revoked.version) == (name, deployed.version):
                raise Revoked(f"version {revoked.version} of model {name!r} was revoked: {revoked.reason}")
