"""Everything that takes bytes from outside, with bytes that hypothesis makes. `fuzz_codec.py` does it for hours."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from targets import FRAMES, KEYS, deframe, open_authentic, open_strange, payload_of, read_keys

EXAMPLES = settings(max_examples=400, deadline=None)

edits = st.lists(
    st.tuples(st.sampled_from(("set", "cut", "insert", "repeat")), st.integers(0, 1 << 16), st.binary(max_size=12)),
    min_size=1,
    max_size=6,
)


def edited(data: bytes, how: list[tuple[str, int, bytes]]) -> bytes:
    changed = bytearray(data)
    for verb, where, what in how:
        at = where % (len(changed) + 1)
        match verb:
            case "set":
                changed[at : at + len(what)] = what
            case "cut":
                del changed[at : at + max(1, len(what))]
            case "insert":
                changed[at:at] = what
            case _:
                changed[at:at] = changed[at : at + 40]
    return bytes(changed)


@EXAMPLES
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    open_strange(data)
    open_strange(b"hg\x01" + data)


@EXAMPLES
@given(st.sampled_from(FRAMES), edits)
def test_an_authentic_frame_that_was_changed(frame: bytes, how: list[tuple[str, int, bytes]]) -> None:
    open_strange(edited(frame, how))


@EXAMPLES
@given(st.sampled_from(sorted(KEYS)), st.binary(max_size=300))
def test_any_payload_of_a_key_holder(number: int, payload: bytes) -> None:
    open_authentic(number, payload)


@EXAMPLES
@given(st.sampled_from(FRAMES), edits)
def test_a_payload_that_a_key_holder_changed(frame: bytes, how: list[tuple[str, int, bytes]]) -> None:
    open_authentic(frame[3], edited(payload_of(frame), how))


@EXAMPLES
@given(st.binary(max_size=300))
def test_any_key_file(data: bytes) -> None:
    read_keys(data)


LINE = f"7 chacha20-poly1305 {'ab' * 32} # comment\n".encode()


@EXAMPLES
@given(edits)
def test_a_key_file_that_was_changed(how: list[tuple[str, int, bytes]]) -> None:
    read_keys(edited(LINE + b"1 " + b"cd" * 32 + b"\n", how))


@EXAMPLES
@given(st.lists(st.one_of(st.binary(max_size=300), st.just(b"\0"), st.sampled_from(FRAMES)), max_size=8))
def test_any_noise_on_a_serial_line(pieces: list[bytes]) -> None:
    deframe(b"".join(pieces))
