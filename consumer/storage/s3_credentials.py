"""Credentials of this worker that S3, SQS or STS does not accept: the operator must act, and jobs wait meanwhile."""

from __future__ import annotations

import threading
import time

from botocore.exceptions import (
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    InvalidConfigError,
    MetadataRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    RefreshWithMFAUnsupportedError,
    SSOError,
    TokenRetrievalError,
)

from consumer.logs import logger

log = logger(__name__)

#: Error codes about the credentials, the account or the clock that a request is signed with. ``AccessDenied`` is not
#: one of them: those credentials are valid and lack a permission.
CODES = frozenset(
    {
        "AccessKeyExpired",
        "AccountProblem",
        "AuthFailure",
        "AuthorizationHeaderMalformed",
        "CredentialsNotSupported",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKey",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidGrantException",
        "InvalidIdentityToken",
        "InvalidPayer",
        "InvalidSecurity",
        "InvalidSecurityToken",
        "InvalidSignature",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "MissingSecurityElement",
        "MissingSecurityHeader",
        "NotSignedUp",
        "OptInRequired",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "Unauthorized",
        "UnauthorizedAccess",
        "UnauthorizedException",
        "UnrecognizedClientException",
    }
)
_CLOCK = frozenset({"RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"})
#: Of STS and SSO: if they refuse anything, there are no credentials.
_GIVES_CREDENTIALS = ("AssumeRole", "CreateToken", "GetFederationToken", "GetRoleCredentials", "GetSessionToken")
_NONE_FOUND = (
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    InvalidConfigError,
    MetadataRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    RefreshWithMFAUnsupportedError,
    SSOError,
    TokenRetrievalError,
)
#: How often the same rejection is logged.
LOG_SECONDS = 300.0


class _Rejections:
    """The rejections in this process."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()
        self._logged: dict[str, float] = {}

    def add(self, reason: str) -> None:
        """Count one, and log it unless the same one was logged less than ``LOG_SECONDS`` ago."""
        with self._lock:
            self.count += 1
            now = time.monotonic()
            if now - self._logged.get(reason, float("-inf")) < LOG_SECONDS:
                return
            self._logged[reason] = now
        log.error("credentials_rejected", reason=reason, advice=advice(reason))


rejections = _Rejections()


def rejection(error: Exception) -> str | None:
    """Return the code or name of an error about this worker's own credentials; ``None`` for any other error."""
    if isinstance(error, _NONE_FOUND):
        return type(error).__name__
    if not isinstance(error, ClientError):
        return None
    code = str(error.response.get("Error", {}).get("Code", "")).rpartition("#")[2].rpartition(".")[2]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in CODES or status == 401 or error.operation_name.startswith(_GIVES_CREDENTIALS):
        return code or f"HTTP {status}"
    return None


def advice(reason: str) -> str:
    """Return what to do about a rejection."""
    if reason in _CLOCK:
        return "set the clock of this machine"
    return "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, or the profile or role of this machine"
