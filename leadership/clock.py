"""The clock of deadlines: seconds since boot, suspend included. No step of the wall clock moves it."""

import time


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
