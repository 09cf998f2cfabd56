"""Personal tokens: one is read per request, and an expired one is nobody's."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from ops.models import Token

from ops.api.authentication import issue_token
from ops.models import User

pytestmark = pytest.mark.django_db


def me(token: str) -> Any:
    return Client(headers={"Authorization": f"Token {token}"}).get("/api/auth/me")


@pytest.fixture
def user() -> User:
    return User.objects.create_user("tess", password="a long enough password")


def test_an_expired_token_is_refused_and_gone(user: User) -> None:
    old = issue_token(user, expiry=timedelta(seconds=-1))
    assert me(old).status_code == 401
    assert not Token.objects.exists()


def test_another_token_of_the_same_person_is_not_touched(user: User) -> None:
    issue_token(user, expiry=timedelta(seconds=-1))
    good = issue_token(user, expiry=timedelta(hours=1))
    assert me(good).json()["username"] == "tess"
    assert Token.objects.count() == 2


def test_a_token_with_another_tail_is_refused(user: User) -> None:
    good = issue_token(user, expiry=timedelta(hours=1))
    assert me(good[:-1] + ("0" if good[-1] != "0" else "1")).status_code == 401
