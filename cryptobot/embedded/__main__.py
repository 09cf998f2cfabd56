"""`python -m cryptobot.embedded COMMAND...`: run a command on services of its own, as their owner."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptobot.embedded import paths, throwaway


def main() -> int:
    data_dir = Path(tempfile.mkdtemp(prefix="cryptobot-throwaway-"))
    with throwaway.services(data_dir):
        environ = {
            "DATA_DIR": str(data_dir),
            "DATABASE_URL": paths.embedded_database_url(data_dir, role=paths.OWNER_ROLE),
            "REDIS_URL": paths.embedded_redis_url(data_dir),
        }
        return subprocess.run(sys.argv[1:], env=os.environ | environ, check=False).returncode


sys.exit(main())
