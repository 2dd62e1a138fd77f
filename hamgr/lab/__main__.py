"""`python -m hamgr.lab`: the same as `hamgr lab`."""

from __future__ import annotations

import argparse
import sys

from hamgr.lab.cli import add_arguments, run

parser = argparse.ArgumentParser(prog="hamgr lab")
add_arguments(parser)
sys.exit(run(parser.parse_args()))
