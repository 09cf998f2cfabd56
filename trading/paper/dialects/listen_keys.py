"""Binance's listen keys: asked for over REST with the API key alone, good for the private stream."""

import hmac
import secrets

from trading.paper.dialects.base import Call, Endpoint, Keys, Rejection

GOOD_MS = 3_600_000  # from the last word about it


class ListenKeys:
    def __init__(self, keys: Keys) -> None:
        self._api_key = keys.api_key
        self.key, self.until_ms = "", 0

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        verbs = {"POST": self.issue, "PUT": self.keep, "DELETE": self.end}
        return {
            (verb, "/fapi/v1/listenKey"): Endpoint("account", False, 1, run) for verb, run in verbs.items()
        }

    def good(self, key: str, now_ms: int) -> bool:
        return bool(key) and key == self.key and now_ms < self.until_ms

    def issue(self, call: Call) -> dict[str, str]:
        self._require_owner(call)
        if not self.good(self.key, call.now_ms):
            self.key = secrets.token_hex(32)
        self.until_ms = call.now_ms + GOOD_MS
        return {"listenKey": self.key}

    def keep(self, call: Call) -> dict[str, str]:
        self._require_owner(call)
        if not self.good(self.key, call.now_ms):
            raise Rejection(400, "-1125", "This listenKey does not exist.")
        return self.issue(call)

    def end(self, call: Call) -> dict[str, str]:
        self._require_owner(call)
        self.until_ms = 0
        return {}

    def _require_owner(self, call: Call) -> None:
        given = call.headers.get("x-mbx-apikey", "")
        if not hmac.compare_digest(given.encode(), self._api_key.encode()):
            raise Rejection(401, "-2015", "Invalid API-key, IP, or permissions for action.")
