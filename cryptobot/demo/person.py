"""A person at a keyboard, over REST: one cookie jar, one CSRF token. Standard library only.

The demo and the journey tests both act through it, so neither can know more than a user would.
"""

import http.cookiejar
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    headers: dict[str, str]

    def __getitem__(self, key: str) -> Any:
        return self.body[key]


@dataclass
class Person:
    """Logged in by session when `login` was called, by token when `token` is set, anonymous otherwise."""

    base_url: str
    name: str = "anonymous"
    token: str = ""
    cookies: http.cookiejar.CookieJar = field(default_factory=http.cookiejar.CookieJar)

    def login(self, password: str) -> "Person":
        answer = self.post("/api/auth/login", username=self.name, password=password)
        if answer.status != 200:
            raise PermissionError(f"{self.name} cannot log in: {answer.status} {answer.body}")
        return self

    def get(self, path: str) -> Answer:
        return self.send("GET", path)

    def post(self, path: str, /, **body: Any) -> Answer:
        return self.send("POST", path, json.dumps(body).encode())

    def send(self, method: str, path: str, raw: bytes | None = None, **headers: str) -> Answer:
        request = urllib.request.Request(self.base_url + path, data=raw, method=method)  # noqa: S310 (our own URL)
        for name, value in (self._headers(method) | headers).items():
            request.add_header(name.replace("_", "-"), value)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        try:
            with opener.open(request, timeout=30) as reply:
                return _answer(reply)
        except urllib.error.HTTPError as refused:
            return _answer(refused)

    def _headers(self, method: str) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if method != "GET":
            headers["Content-Type"] = "application/json"
        if self.token:
            headers["Authorization"] = f"Token {self.token}"
        csrf = next((cookie.value for cookie in self.cookies if cookie.name.startswith("csrftoken")), None)
        if csrf:
            headers["X-CSRFToken"] = csrf
        return headers


def _answer(reply: Any) -> Answer:
    text = reply.read().decode()
    try:
        body = json.loads(text)
    except ValueError:
        body = text
    return Answer(reply.status, body, {k.lower(): v for k, v in reply.headers.items()})
