"""TOTP (RFC 6238): a fresh code where the person has one enrolled; live requires enrolment (spec 3.2.9).

django-otp does the arithmetic. Rows are ours: its own model keeps the key in plain text.
"""

import time
from base64 import b32encode
from datetime import timedelta
from urllib.parse import quote

from django.conf import settings
from django.db.models import F
from django.utils import timezone
from django_otp.oath import TOTP

from ops import sealing
from ops.actions.base import Refusal
from ops.models import SecondFactor, User

STEP_SEC = 30
TOLERANCE = 1  # steps to either side
MAX_FAILURES = 5
LOCKED_FOR = timedelta(minutes=15)


def enrolled(user: User) -> bool:
    return SecondFactor.objects.filter(user=user, confirmed_at__isnull=False).exists()


def require(user: User, code: str) -> None:
    """Use up one code of `user`, where there is a factor.

    Raises:
        Refusal: `totp.not_enrolled` (live), `totp.required`, `totp.wrong`, `totp.locked`.
    """
    factor = SecondFactor.objects.filter(user=user, confirmed_at__isnull=False).first()
    if factor is not None:
        check(factor, code)
    elif settings.ENV.exchange_profile == "live":
        raise Refusal("totp.not_enrolled", "live needs a second factor: enrol one first", status=403)


def at_login(user: User, code: str) -> None:
    """As `require`, but in live, too, who has none comes in: to enrol one."""
    factor = SecondFactor.objects.filter(user=user, confirmed_at__isnull=False).first()
    if factor is not None:
        check(factor, code)


def pending_uri(user: User) -> str | None:
    """What the authenticator is shown, while the first code is awaited."""
    factor = SecondFactor.objects.filter(user=user, confirmed_at=None).first()
    return uri(user, key_of(factor)) if factor else None


def check(factor: SecondFactor, code: str) -> None:
    """Each code is good once, also for two requests at the same time; five wrong ones lock it for a while."""
    now = timezone.now()
    if factor.locked_until is not None and factor.locked_until > now:
        until = f"{factor.locked_until:%H:%M:%S} UTC"
        raise Refusal("totp.locked", f"too many wrong codes: locked until {until}", status=403)
    if not code:
        raise Refusal("totp.required", "send the code of your second factor as `totp`", status=403)
    step = _matching_step(factor, code)
    if step is None:
        _failed(factor)
        raise Refusal("totp.wrong", "wrong or used code", status=403)
    used = SecondFactor.objects.filter(pk=factor.pk, key=factor.key, last_t__lt=step)
    if not used.update(last_t=step, failures=0, locked_until=None):
        raise Refusal("totp.wrong", "wrong or used code", status=403)


def _matching_step(factor: SecondFactor, code: str) -> int | None:
    if not (code.isascii() and code.isdecimal() and len(code) == 6):
        return None
    totp = TOTP(key_of(factor), step=STEP_SEC)
    totp.time = time.time()
    if not totp.verify(int(code), tolerance=TOLERANCE, min_t=factor.last_t + 1):
        return None
    return int(totp.t())


def _failed(factor: SecondFactor) -> None:
    row = SecondFactor.objects.filter(pk=factor.pk)
    row.update(failures=F("failures") + 1)
    row.filter(failures__gte=MAX_FAILURES).update(failures=0, locked_until=timezone.now() + LOCKED_FOR)


def key_of(factor: SecondFactor) -> bytes:
    """Raises Refusal `totp.unreadable`: FIELD_ENCRYPTION_KEY has no key any more that opens it."""
    try:
        return bytes.fromhex(sealing.unseal(factor.key, of=f"second_factor:{factor.user_id}"))
    except sealing.Unreadable:
        why = "no key of ours opens your second factor: have it reset"
        raise Refusal("totp.unreadable", why, status=403) from None


def sealed_key(user: User, key: bytes) -> str:
    return sealing.seal(key.hex(), of=f"second_factor:{user.pk}")


def uri(user: User, key: bytes) -> str:
    """What the QR code of the enrolment page says (the `otpauth` key URI format)."""
    label = quote(f"cryptobot:{user.get_username()}")
    return f"otpauth://totp/{label}?secret={b32encode(key).decode()}&issuer=cryptobot&period={STEP_SEC}"
