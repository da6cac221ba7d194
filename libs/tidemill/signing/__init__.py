"""Who registered a model: Ed25519 signatures of versions, the keys that make them, and the keys that are trusted.

The registry signs project, name, number and package digest of what it registers; a gateway verifies that before it
loads. Trusted public keys are files in a folder outside the bucket: whoever can write the bucket cannot add one.
"""

from tidemill.signing.keys import PublicKey, SigningKey
from tidemill.signing.pair import SigningFolder
from tidemill.signing.trusted import NotTrusted, TrustedSigners

__all__ = ["NotTrusted", "PublicKey", "SigningFolder", "SigningKey", "TrustedSigners"]
