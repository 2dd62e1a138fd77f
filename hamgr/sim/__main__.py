"""`python -m hamgr.sim`."""

import sys

from hamgr.sim.cli import main

sys.exit(main())
