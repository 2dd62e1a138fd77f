"""Copies small files to an NFS server and reads each back, for as long as its standard input is open.

`nfs_writer.py ADDRESS EXPORT JOURNAL`: each file is tried until it was written and read back whole, under another name
each time: libnfs makes no file that is there, and a try that failed may have got as far. JOURNAL has the name of each
file that was read back; standard output a line "nfs SENT RECEIVED NAME" for it, as the lab's probers print it.
"""

from __future__ import annotations

import itertools
import selectors
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATIENCE = 2.0
PAUSE = 0.02


def content(name: str) -> str:
    return f"this is {name}\n" * 200


def run(*command: str) -> str | None:
    """What it printed; None when it failed, or hangs: the server may have no power."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        told(command[0], f"no end within {PATIENCE:g} s")
        return None
    if done.returncode != 0:
        told(command[0], done.stderr.strip())
    return done.stdout if done.returncode == 0 else None


def told(program: str, why: str) -> None:
    print(f"{time.monotonic():.3f} {program}: {why}", file=sys.stderr, flush=True)


def main() -> None:
    address, export, journal = sys.argv[1:]
    stdin = selectors.DefaultSelector()
    stdin.register(sys.stdin, selectors.EVENT_READ)
    with open(journal, "a") as written, tempfile.NamedTemporaryFile("w") as local:
        for number in itertools.count(1):
            sent = time.monotonic()
            for attempt in itertools.count(1):
                name = f"file-{number}-{attempt}"
                Path(local.name).write_text(content(name))
                url = f"nfs://{address}{export}/{name}?version=4"
                if run("nfs-cp", local.name, url) is not None and run("nfs-cat", url) == content(name):
                    break
                if stdin.select(PAUSE):
                    return
            written.write(f"{name}\n")
            written.flush()
            print(f"nfs {sent:.6f} {time.monotonic():.6f} {name}", flush=True)
            if stdin.select(PAUSE):
                return


if __name__ == "__main__":
    main()
