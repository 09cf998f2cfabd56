"""Secrets of a paper desk: generated once into DATA_DIR, mode 0600, kept for every later start."""

import os
import secrets
from pathlib import Path


def generated_secret(data_dir: Path, name: str) -> str:
    """Read or create `DATA_DIR/secrets/<name>`.

    Two processes may get here at once: the file is written whole beside its place and hard-linked
    into it, so exactly one wins and nobody ever reads half a key.
    """
    path = data_dir / "secrets" / name
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
