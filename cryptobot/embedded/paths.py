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
SUPERUSER_ROLE = "postgres"
# PostgreSQL refuses to run as root and then runs as `nobody`, who could not enter a 0700 DATA_DIR.
SYSTEM_DIR = Path("/var/lib/cryptobot")


def _digest(data_dir: Path) -> str:
    return hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]


def system_dir(data_dir: Path) -> Path:
    """What a desk started by root keeps outside its DATA_DIR."""
    return SYSTEM_DIR / _digest(data_dir)


def socket_dir(data_dir: Path) -> Path:
    """A short private directory: a unix socket's path may not exceed 107 bytes."""
    if os.getuid() == 0:
        return system_dir(data_dir) / "run"
    return Path("/tmp") / f"cryptobot-{os.getuid()}-{_digest(data_dir)}"  # noqa: S108 (owner and mode are checked)


def postgres_data(data_dir: Path) -> Path:
    return (system_dir(data_dir) if os.getuid() == 0 else data_dir) / "postgres"


def embedded_database_url(data_dir: Path, *, role: str, database: str = DATABASE) -> str:
    return f"postgresql://{role}@{quote(str(socket_dir(data_dir)), safe='')}/{database}"


def embedded_redis_url(data_dir: Path, *, db: int = 0) -> str:
    return f"unix://{valkey_socket(data_dir)}?db={db}"


def valkey_socket(data_dir: Path) -> Path:
    return socket_dir(data_dir) / "valkey.sock"
