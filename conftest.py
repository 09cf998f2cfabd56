"""First thing pytest imports: the environment of the tests must stand before Django reads settings."""

from tests import environment

environment.prepare()

pytest_plugins = ["tests.plugin"]
