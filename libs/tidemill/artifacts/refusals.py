"""What a storage says when it refuses, in words that tell a person whose right is missing and what to do.

Error codes are those of Amazon's S3 API reference ("List of error codes"). A few of them end by themselves, and so are
worth another try.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from tidemill.artifacts.s3 import AUTHORITY, CREDENTIALS_FILE, CredentialsFile, who
from tidemill.errors import PermanentError, TidemillError, TransientError

_KEYS = f"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the file that {CREDENTIALS_FILE} names"
_FINAL = {
    "InvalidAccessKeyId": f"the service does not know this key; set {_KEYS}",
    "SignatureDoesNotMatch": f"the secret is not this key's; set {_KEYS}",
    "AccessDenied": "let this key read, write, delete and list in the bucket (s3:GetObject, s3:PutObject, "
    "s3:DeleteObject, s3:ListBucket), or use another one",
    "AllAccessDisabled": "the service has closed the bucket; ask whoever runs it",
    "AuthorizationHeaderMalformed": "set AWS_REGION to the bucket's region",
    "PermanentRedirect": "set AWS_REGION and AWS_ENDPOINT_URL to where the bucket is",
}  # fmt: skip
_PASSING = {
    "ExpiredToken": f"write new ones to the file that {CREDENTIALS_FILE} names, or restart with new AWS_… variables",
    "InvalidToken": f"the session token is not this key's; set AWS_SESSION_TOKEN, or write it to the file that "
    f"{CREDENTIALS_FILE} names",
    "TokenRefreshRequired": f"write new ones to the file that {CREDENTIALS_FILE} names",
    "RequestTimeTooSkewed": "this machine's clock and the service's differ by more than it allows; let both keep time "
    "(`timedatectl set-ntp true`), `tidemill doctor` compares them",
    "QuotaExceeded": "make room or raise the quota",  # some services refuse what is too much as if it were forbidden
}  # fmt: skip
_METADATA = "169.254.169.254"
"""Where instances of a cloud get the credentials of their role from: asked when there are no others."""


def refusal(error: Exception, doing: str, *, on_s3: bool) -> TidemillError | None:
    """The error for a storage that refuses ``doing`` something; None when it did not refuse, but failed."""
    said = one_line(error)
    refused = isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError)
    if not on_s3:
        return PermanentError(f"not allowed to {doing}: {said}; check the folder's owner") if refused else None
    code = next((code for code in (*_FINAL, *_PASSING) if code in said), None)
    if code in _PASSING:
        return TransientError(f"not allowed to {doing} with {who()}: {said}; {_PASSING[code]}")
    if isinstance(error, UnauthenticatedError) and (unreadable := _unreadable_credentials()) is not None:
        return unreadable
    if refused or code is not None:
        advice = _FINAL[code or "AccessDenied"]
        return PermanentError(f"not allowed to {doing} with {who()}: {said}; {advice}")
    if _METADATA in said:
        return TransientError(
            f"cannot {doing}: there are no credentials, and this machine has no role that gives it some; set {_KEYS}"
        )
    if untrusted := re.search(r"InvalidCertificate\(\s*(\w+)", str(error)):
        return TransientError(
            f"cannot {doing}: the server's certificate is not trusted ({untrusted[1]}); let {AUTHORITY} name the "
            "authority that signed it, or correct the host in AWS_ENDPOINT_URL"
        )
    return None


def one_line(error: Exception) -> str:
    """What happened, without the library's debugging output and without credentials."""
    text = str(error).partition("\n\nDebug source")[0]
    answer = re.search(r"<Code>(.*?)</Code>(?:.*?<Message>(.*?)</Message>)?", text, re.DOTALL)
    if answer:
        text = f"{text.partition('<?xml')[0].partition('<Error>')[0].rstrip(': ')}: " + ": ".join(
            part for part in answer.groups() if part
        )
    text = re.sub(r"//[^/@\s]+@", "//", " ".join(text.split()))
    return text[:400]


def _unreadable_credentials() -> TransientError | None:
    path = os.environ.get(CREDENTIALS_FILE)
    try:
        if path:
            CredentialsFile(Path(path)).read()
    except TransientError as error:
        return error
    return None
