"""Coverage-guided fuzzing of all that takes bytes from outside, by hand and for hours.

    pip install -e '.[fuzz]'
    python tests/fuzz/fuzz_codec.py -max_total_time=3600 [CORPUS_DIRECTORY]

The first byte of an input chooses the target, the rest is its data. Options are libFuzzer's. A crash leaves a file
`crash-...` that can be given as an argument to see it again.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hamgr", "targets", "cobs"], exclude=["hamgr.v1"]):
    from targets import FRAMES, KEYS, deframe, open_authentic, open_strange, payload_of, read_keys

TARGETS = ["strange", "keys", "deframe", *sorted(KEYS)]


def one_input(data: bytes) -> None:
    if not data:
        return
    target, rest = TARGETS[data[0] % len(TARGETS)], data[1:]
    match target:
        case "strange":
            open_strange(rest)
        case "keys":
            read_keys(rest)
        case "deframe":
            deframe(rest)
        case int():
            open_authentic(target, rest)


def seeds() -> list[bytes]:
    """Inputs to begin with, so that the fuzzer need not invent protobuf and key files."""
    first = [bytes((TARGETS.index("strange"),)) + frame for frame in FRAMES]
    first += [bytes((TARGETS.index(frame[3]),)) + payload_of(frame) for frame in FRAMES]
    lines = [f"{number} {key.method.value} {key.secret.hex()} # c\n" for number, key in KEYS.items()]
    return [*first, bytes((TARGETS.index("keys"),)) + "".join(lines).encode()]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hamgr-fuzz-") as directory:
        for number, seed in enumerate(seeds()):
            Path(directory, f"seed-{number}").write_bytes(seed)
        # The first directory is where new inputs go: the caller's, if one is named.
        atheris.Setup([*sys.argv, directory], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
