"""Makes room on a full disk: this project's unused images and rotated logs, Docker's build cache. Never data.

Runs as a service of its own (cleaning-service-clean-up.service), because it needs rights the monitor does not.
"""

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from cleaning_service_monitor.config import Config
from cleaning_service_monitor.docker import Engine, EngineError

_IMAGES = "cleaning-service/"
_IMAGE = re.compile(r"^\s*image:\s*(\S+)\s*$", re.MULTILINE)
_KEPT = 1  # unused images of each name that stay besides those of kept releases, the newest


def clean_up(config: Config, engine: Engine) -> list[str]:
    """Remove what can be made again or is not needed; return a line for each kind of thing."""
    done = [_remove(_rotated(config.directory / "logs") + _rotated(config.log_file.parent, config.log_file.name))]
    try:
        done.append(_remove_images(engine, _of_releases(config.directory / "releases")))
        engine.prune_build_cache()
        done.append("the build cache was emptied")
    except EngineError as error:
        done.append(f"images stay: {error}")
    return done


def _rotated(directory: Path, prefix: str = "") -> list[Path]:
    """Rotated logs: `api.log.1`, `api.log.2.gz`; never the one being written."""
    return [path for path in directory.glob(f"{prefix}.*" if prefix else "*.log.*") if path.is_file()]


def _remove(paths: Sequence[Path]) -> str:
    freed = 0
    removed = 0
    for path in paths:
        try:
            size = path.stat().st_size
            path.unlink()
        except OSError:
            continue
        freed, removed = freed + size, removed + 1
    return f"{removed} rotated logs were removed ({freed // 1024} KiB)"


def _of_releases(directory: Path) -> set[str]:
    """Return the images of the kept releases: going back to one needs no build."""
    named: set[str] = set()
    with contextlib.suppress(OSError):  # a release removes what is no longer kept
        for path in directory.glob("*/docker-compose.stable.yml"):
            named.update(_IMAGE.findall(path.read_text(encoding="utf-8")))
    return named


def _remove_images(engine: Engine, spared: set[str]) -> str:
    used = engine.images_in_use()
    kept: dict[str, int] = {}
    removed = 0
    for image in engine.images(_IMAGES):  # newest first
        if image.id in used or image.reference in spared:
            continue
        kept[image.name] = kept.get(image.name, 0) + 1
        if kept[image.name] > _KEPT:
            engine.remove_image(image.reference)
            removed += 1
    return f"{removed} unused images were removed"
