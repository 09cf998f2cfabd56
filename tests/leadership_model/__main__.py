"""python -m tests.leadership_model: the whole space with wider constants, and how each weakening fails."""

import sys
from dataclasses import replace

from tests.leadership_model.explore import explore
from tests.leadership_model.model import BASE, WEAKENED

WIDE = replace(BASE, ttl=4, claimers=2)


def main() -> int:
    found = explore(WIDE)
    print(f"as designed: {found.states:,} states in {found.seconds:.1f} s, {found.trace or 'no violation'}")
    wrong = found.trace is not None
    for name, protocol in WEAKENED.items():
        found = explore(protocol)
        wrong |= found.trace is None
        print(f"{name}: {' → '.join(found.trace) if found.trace else 'NOT REFUTED'}")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
