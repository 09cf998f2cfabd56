"""Stored versions: the active one is what runs, in every process, within a second of its activation."""

import threading
import time

from django.conf import settings

from ops import audit
from ops.config.loader import LoadedConfig, parse
from ops.models import ConfigVersion

#: How long a process may go on without asking which version is active.
FRESH_SEC = 1.0
_NONE = "no configuration is active: start the desk once (manage.py desk_start)"
_lock = threading.Lock()
_cached: tuple[float, LoadedConfig] | None = None


def active() -> LoadedConfig:
    """The configuration that runs. Asks the database at most once a second, and parses only what is new."""
    global _cached
    with _lock:
        if _cached is not None and time.monotonic() - _cached[0] < FRESH_SEC:
            return _cached[1]
        row = ConfigVersion.objects.filter(active=True).values("version", "digest").first()
        if row is None:
            raise LookupError(_NONE)
        loaded = _cached[1] if _cached else None
        if loaded is None or (loaded.version, loaded.digest) != (row["version"], row["digest"]):
            text = ConfigVersion.objects.values_list("yaml", flat=True).get(version=row["version"])
            loaded = parse(text, version=row["version"])
        _cached = (time.monotonic(), loaded)
        return loaded


def running_version() -> int:
    """The number of the active version, as the database has it this moment: what requests are bound to."""
    found = ConfigVersion.objects.filter(active=True).values_list("version", flat=True).first()
    if found is None:
        raise LookupError(_NONE)
    return found


def forget() -> None:
    """Drop the process's copy (after an activation, and between tests)."""
    global _cached
    with _lock:
        _cached = None


def ensure_first_version() -> ConfigVersion:
    """Store the profile's file as version 1 when nothing is stored yet. Idempotent; concurrent starts are
    safe: `version` is unique, so one wins and the other finds it."""
    profile = settings.ENV.exchange_profile
    found = ConfigVersion.objects.filter(active=True).first()
    if found is not None:
        return found
    text = (settings.BASE_DIR / "configs" / f"config.{profile}.yaml").read_text()
    loaded = parse(text)
    with audit.recorded(durable=False):
        row, new = ConfigVersion.objects.get_or_create(
            version=1,
            defaults={"profile": profile, "yaml": text, "digest": loaded.digest, "active": True},
        )
        if new:
            audit.touch(row)
            audit.append_system(
                action="ops.config_loaded",
                target="1",
                verdict="executed",
                after={"version": 1, "digest": loaded.digest},
            )
    forget()
    return row
