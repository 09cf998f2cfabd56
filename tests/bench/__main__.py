"""Start a whole desk and one more daphne with the references in it, load both in turns, print the table.

python -m tests.bench [--rounds N] [--requests N] [--markdown FILE]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from cryptobot.embedded import throwaway
from cryptobot.env import BASE_DIR
from tests.bench import report
from tests.bench.load import Job, Sample, Target
from tests.desk import Desk, eventually, free_port

PREVIEW = "/api/arb/preview"
CONCURRENCIES = [1, 16]


def main() -> None:
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="cryptobot-bench-"))
    desk = Desk(directory)
    try:
        print("starting a desk ...", file=sys.stderr)
        desk.start()
        with web(desk) as base_url:
            samples = measure(desk, base_url, options)
        desk.stop()
    finally:
        desk.kill_if_running()
        throwaway.remove(directory)
    text = "\n".join([_about(options), "", *report.lines(samples)])
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12, help="turns of each target")
    parser.add_argument("--requests", type=int, default=100, help="requests of a turn, at most")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a turn, at most")
    parser.add_argument("--markdown", type=Path, help="write the tables here as well")
    return parser.parse_args()


@contextmanager
def web(desk: Desk) -> Iterator[str]:
    """One more web process of that desk, as the supervisor would start it, but for the ASGI module."""
    port = free_port()
    command = ("-m", "daphne", "-v", "0", "-b", "127.0.0.1", "-p", str(port), "tests.bench.asgi:application")
    process = subprocess.Popen(
        [sys.executable, *command], cwd=BASE_DIR, env=desk.environ | {"PORT": str(port)}
    )
    try:
        url = f"http://127.0.0.1:{port}"
        answers_or_ended = lambda: process.poll() is not None or _answers(f"{url}/api/health")  # noqa: E731
        eventually(answers_or_ended, "the bench's web process does not answer", 60)
        if process.poll() is not None:
            raise SystemExit(f"the bench's web process ended with {process.returncode}")
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def measure(desk: Desk, base_url: str, options: argparse.Namespace) -> list[Sample]:
    token, cookie = desk.people()["alice"]["token"], _login(desk, base_url)
    job = Job(
        targets=_targets(base_url, session={"Cookie": cookie}, token={"Authorization": f"Token {token}"}),
        concurrencies=CONCURRENCIES,
        rounds=options.rounds,
        requests=options.requests,
        seconds=options.seconds,
    )
    print("measuring ...", file=sys.stderr)
    command = [sys.executable, "-m", "tests.bench.load"]
    told = json.dumps(asdict(job))
    done = subprocess.run(command, cwd=BASE_DIR, input=told, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the load ended with {done.returncode}: {done.stderr}")
    return [Sample(**row) for row in json.loads(done.stdout)]


def _targets(base_url: str, *, session: dict[str, str], token: dict[str, str]) -> list[Target]:
    preview = base_url + PREVIEW
    return [
        Target(name=report.ECHO, url=f"{base_url}/bench/echo"),
        Target(name=report.EMPTY, url=f"{base_url}/bench/empty"),
        Target(name=report.EMPTY_SESSION, url=f"{base_url}/bench/empty/session", headers=session),
        Target(name=report.EMPTY_API, url=f"{base_url}/bench/empty/api", headers=session),
        Target(name=report.PREVIEW_SESSION, url=preview, headers=session),
        Target(name=report.PREVIEW_TOKEN, url=preview, headers=token),
        Target(name=report.PARTS, url=preview, headers=session | {"X-Bench-Parts": "1"}),
    ]


def _login(desk: Desk, base_url: str) -> str:
    """A session of the bench's own process: the cookie's name carries the port."""
    body = json.dumps({"username": "alice", "password": desk.people()["alice"]["password"]}).encode()
    request = urllib.request.Request(f"{base_url}/api/auth/login", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        cookies: list[str] = [value.partition(";")[0] for value in answer.headers.get_all("Set-Cookie", [])]
    return next(cookie for cookie in cookies if cookie.startswith("sessionid"))


def _about(options: argparse.Namespace) -> str:
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    return f"{machine}; {options.rounds} turns of at most {options.requests} requests or {options.seconds} s"


if __name__ == "__main__":
    main()
