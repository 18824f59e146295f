"""Logs: JSON lines to stdout and to LOG_FILE, written by a thread that the event loop never waits for.

When the writer cannot keep up, records are dropped and counted. A file that cannot be written is reported
once and tried again with every record; it never stops the API.
"""

import contextlib
import logging
import queue
import sys
from collections.abc import Iterator
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from typing import TextIO

import structlog
from typing_extensions import override

from app.settings import Settings

QUEUE = 10_000  # records
FILE_BYTES = 10 * 1024 * 1024
FILE_BACKUPS = 5
CLOSE_TIMEOUT = 2.0  # seconds for the last records to be written

SHARED_PROCESSORS: list[structlog.types.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class DroppingQueueHandler(QueueHandler):
    """Formats records where they are made, then queues them; a full queue drops."""

    def __init__(self, records: "queue.Queue[logging.LogRecord | None]") -> None:
        super().__init__(records)
        self.dropped = 0
        """Records lost since the start."""

    @override
    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue the record, or drop it; never wait."""
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class _Forgiving(logging.Handler):
    """Reports the first failure of a row, then stays silent until the handler works again."""

    failing = False

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        """Say it once on stderr."""
        if not self.failing:
            self.failing = True
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"Cannot write logs to {self._target()}: {sys.exc_info()[1]}\n")

    def _target(self) -> str:
        return "stdout"


class StreamHandler(_Forgiving, logging.StreamHandler[TextIO]):
    """To a stream that may go away."""


class FileHandler(_Forgiving, RotatingFileHandler):
    """To a file, in a directory that may be missing, read-only or full."""

    def _target(self) -> str:
        return self.baseFilename


class _Listener(QueueListener):
    """Stops in bounded time, whatever the queue and the handlers are doing."""

    def __init__(self, records: "queue.Queue[logging.LogRecord | None]", *handlers: logging.Handler) -> None:
        super().__init__(records, *handlers)
        self._records = records

    @override
    def stop(self) -> None:
        """Write what is queued, for CLOSE_TIMEOUT at most."""
        thread = self._thread
        if thread is None:
            return
        with contextlib.suppress(queue.Full):
            self._records.put(None, timeout=CLOSE_TIMEOUT)
        thread.join(CLOSE_TIMEOUT)
        self._thread = None


def handler() -> DroppingQueueHandler | None:
    """The handler in use, whose `dropped` counts lost records."""
    return next((each for each in logging.getLogger().handlers if isinstance(each, DroppingQueueHandler)), None)


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[None]:
    """Configure logging for the process; on leaving, write what is queued."""
    records: queue.Queue[logging.LogRecord | None] = queue.Queue(QUEUE)
    entrance = DroppingQueueHandler(records)
    entrance.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=SHARED_PROCESSORS,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    outputs: list[logging.Handler] = [StreamHandler(sys.stdout)]
    if settings.log_file is not None:
        outputs.append(
            FileHandler(settings.log_file, maxBytes=FILE_BYTES, backupCount=FILE_BACKUPS, delay=True, encoding="utf-8")
        )
    listener = _Listener(records, *outputs)
    root = logging.getLogger()
    root.handlers = [entrance]
    root.setLevel(settings.log_level.upper())
    structlog.configure(
        processors=[*SHARED_PROCESSORS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    listener.start()
    try:
        yield
    finally:
        listener.stop()
