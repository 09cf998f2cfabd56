"""Who may come in, and with what."""

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone
from knox.models import AbstractAuthToken


class User(AbstractUser):  # type: ignore[django-manager-missing]
    """A person, or a program acting for one. Roles are groups (`ops.roles`). Never removed: deactivated."""

    no_vote_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Whoever's password or second factor was reset by somebody else does not vote until then",
    )
    must_change_password = models.BooleanField(
        default=False, help_text="The password was chosen by somebody else"
    )
    born_txid = models.BigIntegerField(
        null=True, editable=False, help_text="The transaction that made this row; written by the database"
    )

    def check_password(self, raw_password: str | None) -> bool:
        """Without Django's silent re-hash at login: credentials change by actions only, and on record."""
        return check_password(raw_password, self.password)


class Token(AbstractAuthToken):  # type: ignore[misc]
    """A personal token for a program: kept as a hash, scoped, expiring, never good for a vote."""

    EVERYTHING = "*"
    READ = "read"

    name = models.CharField(max_length=80, blank=True)
    scopes = models.JSONField(
        default=list, help_text="Action names, or * for whatever its person may ask for; reading is always in"
    )
    issued_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ["-created"]

    def __str__(self) -> str:
        return f"{self.name or 'token'} {self.token_key}… of {self.user}"


class SecondFactor(models.Model):
    """A person's TOTP device. The key is encrypted (`ops.sealing`) with a key that is not in the database."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="second_factor"
    )
    key = models.TextField(help_text="Sealed")
    confirmed_at = models.DateTimeField(null=True, help_text="Empty until a first code was right")
    last_t = models.BigIntegerField(
        default=-1, help_text="Time step of the last right code: each code is good once"
    )
    failures = models.IntegerField(default=0)
    locked_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"second factor of {self.user}"


def _a_day_from_now() -> datetime:
    return timezone.now() + timedelta(days=1)


class SealedSecret(models.Model):
    """A secret that an action made (a first password, a token) for one reader, to be opened once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    reader = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    title = models.CharField(max_length=160)
    sealed = models.TextField(blank=True, help_text="Emptied when it is opened")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(default=_a_day_from_now)
    opened_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.title} for {self.reader}"
