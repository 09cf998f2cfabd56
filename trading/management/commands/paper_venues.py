from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection

from trading import desk_config
from trading.config import PaperConfig
from trading.paper import server


class Command(BaseCommand):
    help = (
        "Serve the simulated venues on loopback until SIGTERM; what is left out comes from the configuration."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        server.add_arguments(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        config = self._config()
        code = server.run(
            options["data_dir"] or settings.ENV.data_dir,
            market=options["market"] or settings.ENV.paper_market or config.market,
            seed=config.seed if options["seed"] is None else options["seed"],
            speed=options["speed"] or float(config.speed),
            virtual=options["clock"] == "virtual",
        )
        if code:
            raise CommandError("the paper venues could not start", returncode=code)

    def _config(self) -> PaperConfig:
        """Of the active version. No guess without one: a desk must not find itself in another market."""
        try:
            return desk_config.active().trading.paper
        except (DatabaseError, LookupError) as error:
            alone = "python -m trading.paper serves without a desk"
            raise CommandError(f"no active configuration ({error}); {alone}") from error
        finally:
            connection.close()
            connection.close_pool()  # type: ignore[attr-defined]  # it was read once; the venues need no database
