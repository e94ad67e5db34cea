"""Logs: one JSON object a line on standard error, so that standard output stays for people."""

import logging
import logging.config
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import msgspec

request_id: ContextVar[str] = ContextVar("request_id", default="-")

# The last line of defence, over the finished line: API keys, bearer tokens, passwords within URLs.
SECRET = re.compile(r"(idr_|[Bb]earer |://[^/\s:@\"]*:(?=[^/\s]+@))[^\s\"'@\\…]+")
QUIET = ("psycopg.pool", "alembic", "httpx", "uvicorn.error")

_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_encode = msgspec.json.Encoder(enc_hook=str).encode


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message, request_id, and whatever `extra` brought along."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return masked(_encode(line).decode())


def masked(text: str) -> str:
    return SECRET.sub(r"\1…", text)


def configure_logging(level: str) -> None:
    """Set up all logging; doing it again changes nothing."""
    logging.captureWarnings(True)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"level": level, "handlers": ["stderr"]},
            "loggers": {name: {"level": "WARNING"} for name in QUIET},
        }
    )
