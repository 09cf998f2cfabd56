#!/usr/bin/env python
import os
import sys

from cryptobot.env import BadEnvironment


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cryptobot.settings")
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except BadEnvironment as error:
        sys.exit(f"environment refused:\n{error}")


if __name__ == "__main__":
    main()
