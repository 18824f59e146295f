"""Logs: JSON lines to stdout and to LOG_FILE, written by a thread that the event loop never waits for.

When the writer cannot keep up, records are dropped and counted. A file that cannot be written is reported
once and tried again with every record; it never stops the API.
"""

import contextlib
import logging
import queue
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from typing import Literal, NamedTuple, TextIO

import structlog
from typing_extensions import override

from app.settings import Settings

QUEUE = 10_000  # records
FILE_BYTES = 10 * 1024 * 1024
FILE_BACKUPS = 5
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}
BATCH = 500  # records written together
PAUSE = 0.05  # seconds between two batches
CLOSE_TIMEOUT = 2.0  # seconds for the last records to be written

SHARED_PROCESSORS: list[structlog.types.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class DroppingQueueHandler(QueueHandler):
    """Formats records where they are made, then queues them; a full queue drops."""

    def __init__(self, records: "Queue") -> None:
        super().__init__(records)
        self.dropped = 0
        """Records lost since the start."""

    @override
    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue the record, or drop it; never wait."""
        self.put(record)

    def put(self, record: "Queued") -> None:
        """Queue what is to become a line, or drop it; never wait."""
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


class RequestLine(NamedTuple):
    """An answered request, to be written as a line of JSON like all others."""

    at: float
    """Unix time of the end."""
    level: Literal["debug", "info"]
    request_id: str
    client: str | None
    method: str
    path: str
    status: int
    seconds: float

    def text(self) -> str:
        """The line; put together by hand because there is one for each request."""
        moment = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
        client = "null" if self.client is None else quoted(self.client)
        return (
            f'{{"event": "request", "request_id": {quoted(self.request_id)}, "client": {client}, '
            f'"method": {quoted(self.method)}, "path": {quoted(self.path)}, "status": {self.status}, '
            f'"duration_ms": {self.seconds * 1000:.1f}, "level": "{self.level}", "timestamp": "{moment}Z"}}'
        )


Queued = logging.LogRecord | RequestLine
Queue = queue.Queue[Queued | None]


class _Listener(QueueListener):
    """Writes what is queued in batches; stops in bounded time, whatever the queue and the handlers are doing."""

    def __init__(self, records: Queue, *handlers: logging.Handler) -> None:
        super().__init__(records, *handlers)
        self._records = records
        self._ending = threading.Event()

    def _monitor(self) -> None:
        """In the thread. Between batches it sleeps: woken for each line it would hold up the event loop instead."""
        ended = False
        while not ended:
            batch = [self._records.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < BATCH:
                    batch.append(self._records.get_nowait())
            ended = None in batch
            lines = [each.text() if isinstance(each, RequestLine) else each.getMessage() for each in batch if each]
            if lines:
                self.handle(logging.makeLogRecord({"msg": "\n".join(lines)}))
            if len(batch) < BATCH:
                self._ending.wait(PAUSE)

    @override
    def stop(self) -> None:
        """Write what is queued, for CLOSE_TIMEOUT at most."""
        thread = self._thread
        if thread is None:
            return
        self._ending.set()
        with contextlib.suppress(queue.Full):
            self._records.put(None, timeout=CLOSE_TIMEOUT)
        thread.join(CLOSE_TIMEOUT)
        self._thread = None


_entrance: DroppingQueueHandler | None = None


def request(line: RequestLine) -> None:
    """Log an answered request."""
    if _entrance is not None and LEVELS[line.level] >= _entrance.level:
        _entrance.put(line)


def handler() -> DroppingQueueHandler | None:
    """The handler in use, whose `dropped` counts lost records."""
    return _entrance


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[None]:
    """Configure logging for the process; on leaving, write what is queued."""
    global _entrance  # noqa: PLW0603  # logging is the process's by nature
    records: Queue = queue.Queue(QUEUE)
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
    entrance.setLevel(root.level)
    _entrance = entrance
    listener.start()
    try:
        yield
    finally:
        _entrance = None
        listener.stop()
