"""The service's log: one JSON object per line, or human-readable text."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from tokend_server.rpc.call import CURRENT_CALL

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_TEXT_OF_COMMANDS = "%(levelname)s: %(message)s"
#: The minimum levels of libraries. At lower levels the AWS SDK logs whole requests. urllib3 and OpenTelemetry log
#: invalid headers, which may be callers' or contain a collector's credentials. psycopg warns of consequences of errors
#: that it raises, as when two servers create one identity.
_LIBRARY_LEVELS = {
    "alembic": logging.WARNING,
    "boto3": logging.INFO,
    "botocore": logging.INFO,
    "opentelemetry.baggage": logging.ERROR,
    "opentelemetry.trace": logging.ERROR,
    "opentelemetry.util": logging.ERROR,
    "psycopg": logging.ERROR,
    "urllib3": logging.ERROR,
}

#: The members of records about the current call, by the names of its attributes.
_CALL_MEMBERS = ("request_id", "method", "caller", "trace_id")

_JSON_MEMBERS = "{asctime}{levelname}{name}{message}"


def configure(*, level: str, as_json: bool, handler: logging.Handler | None = None) -> None:
    """Configures the log's destination and format; records during a call identify the call.

    Args:
        level: The minimum severity, such as `info`.
        as_json: Whether to write JSON rather than text.
        handler: Writes it; by default to standard error.
    """
    handler = handler or logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json_formatter() if as_json else _TextFormatter(_TEXT))
    handler.addFilter(_add_call_members)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    _raise_library_levels()


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Returns a context manager that shows tokend's log records on standard error, for users of commands."""
    logger, handler = logging.getLogger(__package__), logging.StreamHandler(sys.stderr)
    handler.setFormatter(_TextFormatter(_TEXT_OF_COMMANDS))
    levels = {each: each.level for each in (logger, *map(logging.getLogger, _LIBRARY_LEVELS))}
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    _raise_library_levels()  # without a handler Python itself shows their warnings
    try:
        yield
    finally:
        logger.removeHandler(handler)
        for each, level in levels.items():
            each.setLevel(level)


def _raise_library_levels() -> None:
    for name, least in _LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(max(least, logging.getLogger().level))


def _add_call_members(record: logging.LogRecord) -> bool:
    """Adds the members of the current call, unless the record has them."""
    if call := CURRENT_CALL.get():
        for name in _CALL_MEMBERS:
            if value := getattr(call, name):
                vars(record).setdefault(name, value)
    return True


def _json_formatter() -> logging.Formatter:
    names = {"asctime": "time", "levelname": "level", "name": "logger"}
    return JsonFormatter(_JSON_MEMBERS, style="{", rename_fields=names, datefmt="%Y-%m-%dT%H:%M:%S%z")


class _TextFormatter(logging.Formatter):
    """Formats records as text, with the members of the JSON format after the message."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        members = {name: value for name, value in vars(record).items() if name not in {*RESERVED_ATTRS, "asctime"}}
        return " ".join([super().formatMessage(record), *(f"{name}={value}" for name, value in members.items())])
