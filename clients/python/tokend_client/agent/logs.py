"""The agent's log: text for people, or one JSON object a line."""

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
    """Members as in the log of the service, and the name of the token that a line is about."""

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


def begin(log_format: LogFormat, *, debug: bool) -> None:
    """Begins to write the log to standard error."""
    _LOGGER.addHandler(logging.StreamHandler(sys.stderr))
    _LOGGER.setLevel(logging.DEBUG if debug else logging.INFO)
    # A standard error that is gone is no reason to write there how it failed.
    logging.raiseExceptions = False
    write_as(log_format)


def write_as(log_format: LogFormat) -> None:
    """Writes each line in a format from now on."""
    for handler in _LOGGER.handlers:
        handler.setFormatter(_JsonFormatter() if log_format == "json" else _text_formatter())
