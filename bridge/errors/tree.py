"""The root of all errors of the bridge, and what is wrong before anything begins."""

from collections.abc import Mapping
from typing import ClassVar


class BridgeError(Exception):
    """Something went wrong inside the bridge. Please try again."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        evidence: Mapping[str, object] | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Take the texts; `retry_after` is in seconds."""
        self.message = message or " ".join((type(self).__doc__ or self.code).split())
        self.hint = hint
        self.evidence = dict(evidence or {})
        self.retry_after = retry_after
        super().__init__(self.message)


class ConfigurationError(BridgeError):
    """The configuration of the bridge is not usable."""

    code = "configuration"
