"""A node with a disk link and nothing else, for tests of poison pills: `disk_victim.py DEVICE RESET`."""

from __future__ import annotations

import asyncio
import sys

from hamgr.config.model import LinkConfig
from hamgr.links.codec import RejectReason
from hamgr.links.disk import DiskLink
from hamgr.links.link import Local


class Deaf:
    """Listens to nothing; says when the link works."""

    def received(
        self, link: str, frame: bytes, source: str, speakers: frozenset[str] | None = None
    ) -> RejectReason | None:
        return None

    def failed(self, link: str, reason: str) -> None:
        pass

    def changed(self, link: str, up: bool, detail: str) -> None:
        print("up" if up else f"down: {detail}", flush=True)


async def main() -> None:
    device, reset = sys.argv[1:]
    config = LinkConfig("disk", "disk", ("a", "b"), devices={"b": device}, poll=0.05, reset=reset)
    await DiskLink(config, Local("b", cluster="t"), Deaf()).open()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
