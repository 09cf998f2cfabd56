"""kill -9 at a named statement, for fault rounds on a paper desk: `touch DATA_DIR/failpoints/<name>`.

Whoever reaches an armed point takes the file away (so that one process dies once) and kills itself the way
the kernel would: nothing is flushed, nothing is told. Outside the paper profile there are no such points.
"""

import os
import signal
import time

from django.conf import settings

AFTER_CLAIM = "after_claim"  # `sent_at` is committed, nothing is signed
AFTER_SIGN = "after_sign"  # signed, no byte has left
AFTER_ACK = "after_ack"  # the venue's answer is here, nothing of it is written down
AFTER_FILL = "after_fill"  # the answer of one order is written down, of its twin it is not
IN_RESCUE = "in_rescue"  # a rescue's order is written, its transaction open
POINTS = (AFTER_CLAIM, AFTER_SIGN, AFTER_ACK, AFTER_FILL, IN_RESCUE)
FOLDER = "failpoints"


def reach(name: str) -> None:
    """Die here if somebody armed this point; stand still if it was armed as `<name>.stop`."""
    if settings.ENV.exchange_profile != "paper":
        return
    folder = settings.ENV.data_dir / FOLDER
    for armed, number in ((name, signal.SIGKILL), (f"{name}.stop", signal.SIGSTOP)):
        try:
            (folder / armed).rename(folder / f"{armed}.hit")
        except OSError:
            continue
        os.kill(os.getpid(), number)
        time.sleep(0.2)  # another thread may be the one that takes the signal: go no further before it does
