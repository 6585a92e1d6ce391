"""The agent's log: text, or one JSON object per line."""

import json
import logging
import sys
import time
from typing import Literal

LogFormat = Literal["text", "json"]

_LOGGER = logging.getLogger("tokend_client")


def _text_formatter() -> logging.Formatter:
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    return formatter


class _JsonFormatter(logging.Formatter):
    """Formats records with the members of the service's log, and the name of the token."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, str] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(record.created)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if token := getattr(record, "token", None):
            line["token"] = token
        if record.exc_info:
            line["exc_info"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(log_format: LogFormat, *, debug: bool) -> None:
    """Starts logging to standard error."""
    _LOGGER.addHandler(logging.StreamHandler(sys.stderr))
    _LOGGER.setLevel(logging.DEBUG if debug else logging.INFO)
    # If standard error is closed, logging must not report that on standard error.
    logging.raiseExceptions = False
    set_format(log_format)


def set_format(log_format: LogFormat) -> None:
    """Sets the format of the log."""
    for handler in _LOGGER.handlers:
        handler.setFormatter(_JsonFormatter() if log_format == "json" else _text_formatter())
