"""`manage.py run`: the whole desk from one command, in one terminal, ended by Ctrl-C."""

import sys
from typing import IO

from cryptobot.embedded import paths, postgres
from cryptobot.embedded.process import ServiceError, private_directory
from cryptobot.env import BadEnvironment, Environment, load
from cryptobot.supervisor import children
from cryptobot.supervisor.loop import StopRequestedError, Supervisor
from cryptobot.supervisor.output import Output
from cryptobot.supervisor.preflight import UnfitHostError, check_host

#: Longer than the keeper itself waits for the others to finish.
KEEPER_GRACE_SEC = 30.0


def main() -> int:
    """Run a desk until told to stop. Returns the exit code: 0 stopped, 1 refused to start."""
    try:
        env = load()
        lock = check_host(env)
    except BadEnvironment as error:
        return _refuse(f"environment refused:\n{error}")
    except UnfitHostError as error:
        return _refuse(str(error))
    return _run(env, lock)


def _run(env: Environment, lock: IO[str]) -> int:
    sockets = paths.socket_dir(env.data_dir)
    try:
        private_directory(sockets)
    except ServiceError as error:
        return _refuse(str(error))
    supervisor = Supervisor(
        state_file=env.data_dir / "supervisor.json",
        notify_path=sockets / "notify.sock",
        output=Output(),
        about={"base_url": env.base_url, "instance": env.instance},
    )
    with lock:  # released last
        try:
            _start(supervisor, env)
            supervisor.run_until_stopped()
        except StopRequestedError:
            pass
        except ServiceError as error:
            supervisor.say(f"cannot start: {error}")
            _stop(supervisor)
            return 1
        _stop(supervisor)
    return 0


def _start(supervisor: Supervisor, env: Environment) -> None:
    first_start = not (env.data_dir / "demo-desk.json").exists()
    services = children.services(env)
    supervisor.start(*services)
    supervisor.wait_ready(*(s.name for s in services), failures=4)
    if env.embedded:
        postgres.bootstrap(env.data_dir)
    supervisor.run_to_end("migrate", children.one_shot(env, "migrate_desk", as_owner=True))
    supervisor.run_to_end("desk_start", children.one_shot(env, "desk_start"))
    venues = children.paper_venues(env)
    supervisor.start(*venues)
    supervisor.wait_ready(*(v.name for v in venues), failures=4)
    processes = children.desk(env)
    supervisor.start(*processes)
    supervisor.wait_ready(*(p.name for p in processes))
    if not env.safe_mode:
        supervisor.run_to_end("launch", children.one_shot(env, "launch_at_start"))
    supervisor.output.plain(welcome(env, first_start=first_start))


def _stop(supervisor: Supervisor) -> None:
    """The desk first, then what it stands on."""
    supervisor.say("stopping; once more to stop at once")
    if children.KEEPER in supervisor.children:
        supervisor.stop([children.KEEPER], grace_sec=KEEPER_GRACE_SEC)
    below = [name for name in ("postgres", "valkey") if name in supervisor.children]
    supervisor.stop([name for name in supervisor.children if name not in below])
    supervisor.stop(below)
    supervisor.close()


def welcome(env: Environment, *, first_start: bool) -> str:
    """What to do first. Passwords are shown once, when they were made."""
    mode = ", in HOLD" if env.safe_mode else ""  # otherwise the launch has said above what became of it
    lines = ["", f"  The desk is ready: {env.base_url}/admin/  ({env.exchange_profile}{mode})"]
    people = children.read_demo_desk(env.data_dir)
    if people:
        lines.append(f"  People, passwords and API tokens: {env.data_dir / 'demo-desk.json'}")
    if people and first_start:
        width = max(map(len, people))
        lines += [f"    {name:<{width}}  {password}" for name, password in people.items()]
    if env.safe_mode:
        lines += [
            "  First: log in there as alice and ask for a launch (HOLD and SAFE_MODE off in one request);",
            "  then log in as bob in another browser and approve it.",
        ]
    lines += [
        "  Ctrl-C ends everything. `make demo` in another terminal tells the whole story.",
        "",
    ]
    return "\n".join(lines)


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
