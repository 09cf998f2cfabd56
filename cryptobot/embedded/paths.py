"""Where the embedded PostgreSQL and Valkey of a desk live: pure functions of DATA_DIR.

Every process of a desk computes the same places, so nobody has to be told them.
"""

import hashlib
import os
from pathlib import Path
from urllib.parse import quote

DATABASE = "cryptobot"
OWNER_ROLE = "cryptobot_owner"
APP_ROLE = "cryptobot_app"


def _digest(data_dir: Path) -> str:
    return hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]


def socket_dir(data_dir: Path) -> Path:
    """A short private directory: a unix socket's path may not exceed 107 bytes."""
    return Path("/tmp") / f"cryptobot-{os.getuid()}-{_digest(data_dir)}"  # noqa: S108 (owner and mode are checked)


def postgres_data(data_dir: Path) -> Path:
    """As root PostgreSQL runs as `nobody`, who could not enter a 0700 parent: then outside DATA_DIR."""
    if os.getuid() == 0:
        return Path("/var/lib/cryptobot") / _digest(data_dir) / "postgres"
    return data_dir / "postgres"


def embedded_database_url(data_dir: Path, *, role: str) -> str:
    return f"postgresql://{role}@/{DATABASE}?host={quote(str(socket_dir(data_dir)), safe='')}"


def embedded_redis_url(data_dir: Path, *, db: int = 0) -> str:
    return f"unix://{socket_dir(data_dir)}/valkey.sock?db={db}"
