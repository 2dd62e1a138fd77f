"""Somebody on the wire without the key: hears every datagram and sends what he likes, as whoever he likes.

`python attacker.py SECONDS PORT INTERFACE...` on the switch's ends of the nodes' cables: a frame sent on such an
interface arrives at that node. Prints how many frames it heard and sent, as JSON.
"""

from __future__ import annotations

import json
import random
import select
import socket
import struct
import sys
import time
from collections import deque

KEPT = 20_000
"""Frames that are remembered, to be sent again much later."""

PAUSE = 0.002
"""Seconds between two attacks."""

ETHERNET, UDP_HEADER = 14, 8
IPV4, IPV6 = 0x0800, 0x86DD
OUTGOING = 4
"""PACKET_OUTGOING (packet(7)): what the switch itself sends out there."""


class Frame:
    """A heard Ethernet frame that carries a datagram of the link."""

    def __init__(self, data: bytes, header: int) -> None:
        self.data = data
        self.header = header
        """Bytes before the payload."""

    @classmethod
    def of(cls, data: bytes, port: int) -> Frame | None:
        kind = struct.unpack_from("!H", data, 12)[0]
        if kind == IPV4 and data[23] == socket.IPPROTO_UDP:
            ip = ETHERNET + (data[14] & 15) * 4
        elif kind == IPV6 and data[20] == socket.IPPROTO_UDP:
            ip = ETHERNET + 40
        else:
            return None
        if struct.unpack_from("!H", data, ip + 2)[0] != port:
            return None
        return cls(data, ip + UDP_HEADER)

    def again(self, rng: random.Random) -> bytes:
        """As it was."""
        return self._unchecked(bytearray(self.data))

    def changed(self, rng: random.Random) -> bytes:
        """With one bit of the payload turned over."""
        data = bytearray(self.data)
        place = rng.randrange(self.header, len(data))
        data[place] ^= 1 << rng.randrange(8)
        return self._unchecked(data)

    def cut_short(self, rng: random.Random) -> bytes:
        """With the payload's end missing: the datagram's length is set to what is left."""
        data = bytearray(self.data)
        size = rng.randrange(1, len(data) - self.header)
        data[self.header + size :] = b""
        struct.pack_into("!H", data, self.header - 4, size + UDP_HEADER)
        return self._unchecked(data)

    def foreign(self, rng: random.Random) -> bytes:
        """With another payload."""
        data = bytearray(self.data)
        data[self.header :] = rng.randbytes(len(data) - self.header)
        if rng.random() < 0.5:
            data[self.header : self.header + 4] = self.data[self.header : self.header + 4]
        return self._unchecked(data)

    def reflected(self, rng: random.Random) -> bytes:
        """From the receiver to the sender, with the same payload."""
        data = bytearray(self.data)
        data[0:6], data[6:12] = data[6:12], data[0:6]
        if struct.unpack_from("!H", data, 12)[0] == IPV4:
            data[26:30], data[30:34] = data[30:34], data[26:30]
        else:
            data[22:38], data[38:54] = data[38:54], data[22:38]
        return self._unchecked(data)

    def _unchecked(self, data: bytearray) -> bytes:
        """Without a UDP checksum, which IPv4 allows (RFC 768): the one that was heard is for the card to complete."""
        struct.pack_into("!H", data, self.header - 2, 0)
        return bytes(data)


ATTACKS = (Frame.again, Frame.again, Frame.changed, Frame.cut_short, Frame.foreign, Frame.reflected)


def main() -> None:
    seconds, port, interfaces = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    rng = random.Random(seconds)
    wires = {}
    for interface in interfaces:
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        wire.bind((interface, 3))
        wire.setblocking(False)
        wires[interface] = wire
    heard: deque[tuple[str, Frame]] = deque(maxlen=KEPT)
    count = {"heard": 0, "sent": 0}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for ready in select.select(list(wires.values()), [], [], PAUSE)[0]:
            data, where = ready.recvfrom(2048)
            if where[2] == OUTGOING and (frame := Frame.of(data, port)) is not None:
                heard.append((where[0], frame))
                count["heard"] += 1
        if not heard:
            continue
        to, frame = rng.choice(heard) if rng.random() < 0.7 else heard[-1]
        forged = rng.choice(ATTACKS)(frame, rng)
        wire = wires[rng.choice(interfaces) if rng.random() < 0.5 else to]
        try:
            wire.send(forged)
            count["sent"] += 1
        except (BlockingIOError, OSError):
            continue
    print(json.dumps(count))


if __name__ == "__main__":
    main()
