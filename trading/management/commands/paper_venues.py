from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

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
            market=options["market"] or config.market,
            seed=config.seed if options["seed"] is None else options["seed"],
            speed=options["speed"] or float(config.speed),
            virtual=options["clock"] == "virtual",
        )
        if code:
            raise CommandError("the paper venues could not start", returncode=code)

    def _config(self) -> PaperConfig:
        """Of the active version; before the first start of a desk there is none yet."""
        try:
            return desk_config.active().trading.paper
        except (DatabaseError, LookupError) as error:
            self.stderr.write(f"no active configuration ({error}): market generator, seed 1")
            return PaperConfig()
