#!/usr/bin/env python
import os
import sys

from cryptobot.env import BadEnvironment


def main() -> None:
    if sys.argv[1:] == ["run"]:  # starts before there is a database, and without Django's second of imports
        from cryptobot.supervisor.main import main as run_desk

        sys.exit(run_desk())
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cryptobot.settings")
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except BadEnvironment as error:
        sys.exit(f"environment refused:\n{error}")


if __name__ == "__main__":
    main()
