"""Signs versions with the registry's key: each when it is registered, those on record when somebody trusts them."""

from __future__ import annotations

import logging

from services.registry import chain as decided
from services.registry.chain import CHAMPION, Chain
from services.registry.projection import Projection
from services.registry.serving import Serving
from tidemill.contracts import PackageSignature, SignVersions
from tidemill.errors import PermanentError, TransientError
from tidemill.records import Decide, RecordStore
from tidemill.records.schema import VersionRegistered, VersionSigned
from tidemill.signing import NotTrusted, SigningFolder, SigningKey
from tidemill.signing.statement import version_statement

log = logging.getLogger(__name__)


class Signer:
    """The registry's hand. The key is read anew each time: a rotation needs no restart, and versions are rare."""

    def __init__(self, folder: SigningFolder) -> None:
        self._folder = folder

    def check(self) -> None:
        """Make sure that there is a key to sign with.

        Raises:
            PermanentError: there is none; says how to make one.
        """
        SigningKey.read(self._folder.key_file)

    def sign(self, project: str, name: str, version: int, digest: str) -> PackageSignature:
        """That version ``version`` of ``name`` is the package ``digest``.

        Raises:
            TransientError: the key cannot be read. It was there at the start, so no run is to blame for it.
        """
        try:
            key = SigningKey.read(self._folder.key_file)
        except PermanentError as error:
            raise TransientError(f"version {version} of model {name!r} waits for its signature: {error}") from None
        return key.sign(version_statement(project, name, version, digest))

    def is_trusted(self, project: str, version: VersionRegistered, signature: PackageSignature | None) -> bool:
        """Whether a trusted signer has signed a version."""
        try:
            digest = version.event.model.digest
            self._folder.trusted.verify(project, version.name, version.version, digest, signature)
        except NotTrusted:
            return False
        return True


class SigningOnRecord:
    """Carries out ``SignVersions``."""

    def __init__(self, records: RecordStore, projection: Projection, serving: Serving, signer: Signer) -> None:
        self._records = records
        self._projection = projection
        self._serving = serving
        self._signer = signer

    async def sign(self, command: SignVersions, identity: str) -> str:
        """Sign what no trusted signer has signed and nobody revoked; what was signed, in words.

        Raises:
            NotFound: the model or version that the command names is not there.
        """
        signed: list[VersionSigned] = []
        decide = self._next(command, identity)
        while record := await self._records.append_decision(command.project, decide):
            assert isinstance(record.decision, VersionSigned)
            signed.append(record.decision)
        await self._projection.decisions(command.project)
        # Also where this delivery signed nothing: the one before may have ended in between.
        for name in decided.aliased(await self._records.decisions(command.project), CHAMPION):
            await self._serving.deploy(command.project, name)
        if not signed:
            return "a trusted signer has signed all of them"
        log.info("project %s: %d versions on record are signed", command.project, len(signed))
        names = ", ".join(f"{one.name} {one.version}" for one in signed)
        return f"signed with key {signed[0].signature.key_id}: {names}"

    def _next(self, command: SignVersions, identity: str) -> Decide:
        def decide(chain: Chain) -> VersionSigned | None:
            for version in _wanted(chain, command):
                if decided.revocation(chain, version.name, version.version) is not None:
                    continue
                if self._signer.is_trusted(command.project, version, decided.signature(chain, version)):
                    continue
                signature = self._signer.sign(
                    command.project, version.name, version.version, version.event.model.digest
                )
                return VersionSigned(name=version.name, version=version.version, signature=signature, command=identity)
            return None

        return decide


def _wanted(chain: Chain, command: SignVersions) -> list[VersionRegistered]:
    """The versions that a command is about.

    Raises:
        NotFound: there is no such model or version.
    """
    names = sorted({r.decision.name for r in chain if isinstance(r.decision, VersionRegistered)})
    if command.name is not None:
        names = [command.name]
    versions = [version for name in names for version in decided.versions(chain, name)]
    if command.version is not None:
        versions = [version for version in versions if version.version == command.version]
    if not versions and command.name is not None:
        raise decided.no_version(chain, command.name, command.version)
    return versions
