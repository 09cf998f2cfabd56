"""Which code runs: the id that a release wrote down, or a digest of the sources themselves."""

import functools
import hashlib

from cryptobot.env import BASE_DIR

#: Written by deploy/release.sh into what it releases.
BUILD_FILE = BASE_DIR / "BUILD"
SOURCES = ("cryptobot", "ops", "risk", "leadership", "trading")


@functools.cache
def build_id() -> str:
    """The release's own id, else `src-` and a digest over every module: equal sources, equal id."""
    if BUILD_FILE.exists():
        return BUILD_FILE.read_text().strip()[:64]
    digest = hashlib.sha256()
    for room in SOURCES:
        for path in sorted((BASE_DIR / room).rglob("*.py")):
            digest.update(str(path.relative_to(BASE_DIR)).encode() + b"\0" + path.read_bytes())
    return f"src-{digest.hexdigest()[:12]}"
