import sys

from trading.paper.server import main

if __name__ == "__main__":
    sys.exit(main())
