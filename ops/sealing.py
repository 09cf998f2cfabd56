"""Encrypt what must be kept and must not be read by whoever reads the database: AES-256-GCM.

The key ring is `FIELD_ENCRYPTION_KEY`: keys separated by commas, the first seals and all of them open, so
that a new key is put in front and the old one is removed when nothing needs it.
"""

import base64
import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

_NONCE = 12


class Unreadable(Exception):
    """No key of the ring opens it, or it was moved to another row."""


def seal(text: str, *, of: str) -> str:
    """`of`: what it belongs to (table and row); sealed text is worthless anywhere else."""
    nonce = secrets.token_bytes(_NONCE)
    sealed = _ring()[0].encrypt(nonce, text.encode(), of.encode())
    return base64.b64encode(nonce + sealed).decode()


def unseal(sealed: str, *, of: str) -> str:
    """Raises Unreadable."""
    raw = base64.b64decode(sealed)
    for key in _ring():
        try:
            return key.decrypt(raw[:_NONCE], raw[_NONCE:], of.encode()).decode()
        except InvalidTag:
            continue
    raise Unreadable(of)


def _ring() -> list[AESGCM]:
    texts = [text.strip() for text in settings.FIELD_ENCRYPTION_KEY.split(",") if text.strip()]
    return [AESGCM(hashlib.sha256(text.encode()).digest()) for text in texts]
