"""The desk's own settings; only the URLs are more."""

from cryptobot.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.urls"
