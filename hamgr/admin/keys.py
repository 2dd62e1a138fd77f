"""The daemon's keys for its administrator: who knows which, and reading the file again without losing a peer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from hamgr.core.status import Status
from hamgr.links.arbiter import ARBITER
from hamgr.links.codec import Codec
from hamgr.links.keys import KeyFileError, Keys, load_keys
from hamgr.links.seal import Key
from hamgr.v1 import admin_pb2 as pb

log = logging.getLogger(__name__)


class KeysDesk:
    """Compares what the peers said of their keys with ours. Only peers that are heard count.

    with_arbiter: the arbiter has these keys too; one that knows us by a certificate has not.
    """

    def __init__(self, status: Callable[[], Status], codec: Codec, file: Path, with_arbiter: bool = True) -> None:
        self._with_arbiter = with_arbiter
        self._status = status
        self._codec = codec
        self._file = file

    def report(self) -> pb.KeysReport:
        heard = self._heard()
        shown = []
        for number, key in self._codec.keys.items():
            unknown = self._not_opening(number, key, heard)
            shown.append(
                pb.KeyStatus(
                    number=number,
                    method=key.method.value,
                    active=number == self._codec.active,
                    known_to=[name for name in heard if name not in unknown],
                    unknown_to=unknown,
                    sealed_by=self._sealing(number, heard),
                )
            )
        return pb.KeysReport(file=str(self._file), keys=shown)

    async def reload(self, operator: str, force: bool = False) -> tuple[bool, str]:
        """Read the key file again and use it; done, and a sentence. Refused, nothing is changed.

        force: also when a peer that is heard would be cut off.
        """
        try:
            # A thread: the disk may hang, the heartbeats must not.
            keys = await asyncio.to_thread(load_keys, self._file)
        except KeyFileError as error:
            log.error("the keys stay as they were (asked by %s): %s", operator, error)
            return False, f"the keys stay as they were: {error}"
        if (objection := self._objection(keys)) and not force:
            log.error("the keys stay as they were (asked by %s): %s", operator, objection)
            return False, f"the keys stay as they were: {objection}"
        self._codec.reload(keys.keys, keys.active)
        log.info("key file read again (asked by %s): %s", operator, keys.summary())
        return True, keys.summary()

    def _objection(self, keys: Keys) -> str:
        """Which peer would no longer be understood, or no longer understand us; "" for none."""
        heard, ours = self._heard(), self._codec.keys
        active = keys.keys[keys.active]
        if ours.get(self._codec.active) != active and (deaf := self._not_opening(keys.active, active, heard)):
            opens = "does not open" if len(deaf) == 1 else "do not open"
            return (
                f"key {keys.active} would seal, but {', '.join(deaf)} {opens} with it yet; bring the key file there "
                "and `hamgr key reload` there first"
            )
        for number, key in ours.items():
            if keys.keys.get(number) != key and (sealing := self._sealing(number, heard)):
                seals = "still seals" if len(sealing) == 1 else "still seal"
                return (
                    f"key {number} would go, but {', '.join(sealing)} {seals} with it; `hamgr key activate` another "
                    "one there first"
                )
        return ""

    def _heard(self) -> list[str]:
        status = self._status()
        heard = [node.name for node in status.nodes if any(link.up for link in node.links)]
        return [*heard, ARBITER] if self._with_arbiter and status.arbiter.connected else heard

    def _not_opening(self, number: int, key: Key, heard: list[str]) -> list[str]:
        return [name for name in heard if not self._opens(name, number, key)]

    def _opens(self, name: str, number: int, key: Key) -> bool:
        peer = self._codec.peers.get(name)
        if peer is None:
            return False
        # A peer with a single key doesn't name it, but what it seals with it opens with.
        return peer.opens.get(number) == key.print() or (peer.seals == number and self._codec.keys.get(number) == key)

    def _sealing(self, number: int, heard: list[str]) -> list[str]:
        return [name for name in heard if (peer := self._codec.peers.get(name)) is not None and peer.seals == number]
