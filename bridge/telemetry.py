"""Logs: structured lines with a request id, and nothing secret in them.

Redaction works by name (`code`, `state`, `access_token` and the like never leave) because names are ours to keep
right; addresses are logged without their query, since a callback's query holds a code.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
SECRET_NAMES = frozenset(
    {
        "access_token", "authorization", "binding", "client_secret", "code", "code_verifier", "cookie", "form_token",
        "id_token", "id_token_hint", "key", "keys", "logout_token", "nonce", "password", "refresh_token", "secret",
        "state", "token", "url",
    }
)  # fmt: skip
REDACTED = "[redacted]"
LONGEST_VALUE = 500

Event = MutableMapping[str, Any]


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Blank values with a secret's name, cut long ones, and keep line breaks out of plain text (log injection)."""
    for name, value in event.items():
        event[name] = value if name == "exception" else _clean(name, value)
    return event


def _clean(name: str, value: object) -> object:
    if name.lower() in SECRET_NAMES:
        return REDACTED
    if isinstance(value, Mapping):
        return {inner: _clean(str(inner), one) for inner, one in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", one) for one in value]
    if isinstance(value, str):
        cut = value[:LONGEST_VALUE]
        return cut if cut.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)
    return value


def _add_request_id(_logger: object, _method: str, event: Event) -> Event:
    request_id = REQUEST_ID.get()
    if request_id is not None:
        event.setdefault("request_id", request_id)
    return event


def configure_logging(*, level: str = "info") -> None:
    """Write one line an event to standard error: JSON for machines, coloured text on a terminal."""
    number = logging.getLevelNamesMapping()[level.upper()]
    on_terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            _add_request_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)


def get_logger() -> Any:
    """Return a logger; call it as `log.info("event_name", key=value)`."""
    return structlog.get_logger()
