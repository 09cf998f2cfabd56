"""A way to the database that can go dark: bytes vanish, and no connection is closed until it heals."""

import asyncio
import threading
from pathlib import Path

PORT = 5432  # the name of PostgreSQL's socket file carries it


class Proxy:
    """Between `folder` and the server's own socket `folder`; in a thread of its own."""

    def __init__(self, folder: Path, server: Path) -> None:
        self._here, self._there = folder / f".s.PGSQL.{PORT}", server
        self._dark = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="blackhole")

    def start(self) -> "Proxy":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def go_dark(self) -> None:
        self._dark = True

    def heal(self) -> None:
        """Bytes pass again, on new connections: those that lost some are hung up."""
        self._dark = False
        self._loop.call_soon_threadsafe(self._hang_up)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _listen(self) -> None:
        await asyncio.start_unix_server(self._serve, str(self._here))

    def _hang_up(self) -> None:
        for writer in list(self._writers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server = await asyncio.open_unix_connection(str(self._there))
        except OSError:  # the database is being restarted
            writer.close()
            return
        self._writers |= {writer, server}
        await asyncio.gather(self._pass(reader, server), self._pass(server_reader, writer))
        self._writers -= {writer, server}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if not self._dark:
                    writer.write(data)
                    await writer.drain()
        except (ConnectionError, OSError):
            pass  # either end is gone: so is the other
        writer.close()
