"""A supervisor over three shell children, without Django or servers: the subject of test_supervisor.py."""

import sys
from pathlib import Path

from cryptobot.embedded.process import Launch
from cryptobot.supervisor.children import Child
from cryptobot.supervisor.loop import StopRequestedError, Supervisor
from cryptobot.supervisor.output import Output

SAY_READY = """
import signal
from cryptobot.notify import notify
notify("READY=1")
print("hello", flush=True)
signal.pause()
"""


def child(name: str, *argv: str, polled: bool = True) -> Child:
    launch = Launch(argv=argv, env={"PATH": "/usr/bin:/bin"})
    return Child(name=name, launch=lambda: launch, ready=(lambda: True) if polled else None)


def main(directory: Path, grace_sec: float) -> None:
    desk = Supervisor(
        state_file=directory / "supervisor.json", notify_path=directory / "n", output=Output(), about={}
    )
    children = [
        child("speaker", sys.executable, "-c", SAY_READY, polled=False),
        child("deaf", "/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"),
        child("absent", "/nonexistent/program"),
    ]
    try:
        desk.start(*children)
        desk.wait_ready("speaker", "deaf")
        desk.say("all ready")
        desk.run_until_stopped()
    except StopRequestedError:
        desk.say("stopped while starting")
    desk.stop(list(desk.children), grace_sec=grace_sec)
    desk.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
