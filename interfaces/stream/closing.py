"""Why the server closes a stream: codes that a client can act on, and a reason for people."""

from enum import IntEnum
from typing import Final

# RFC 6455, section 5.5: the limit of a close frame, without the code.
_MAX_BYTES: Final = 123


class CloseCode(IntEnum):
    """Codes of RFC 6455 and, from 4400 on, of the contract."""

    INTERNAL_ERROR = 1011
    RESTARTING = 1012
    TRY_AGAIN_LATER = 1013
    BAD_REQUEST = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    NO_FIRST_MESSAGE = 4408
    TOO_SLOW = 4409
    POSITION_GONE = 4410
    TOO_MANY = 4429


class Closed(Exception):
    """The server ends the stream."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        self.code = code
        self.reason = reason.encode()[:_MAX_BYTES].decode(errors="ignore")
        super().__init__(code, self.reason)
