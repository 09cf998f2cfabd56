import sys

from cryptobot.supervisor.main import main

sys.exit(main())
