"""How a node calls its arbiter: plainly, or with the identity that `hamgr join` made, which is renewed while we run."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc

from hamgr.links.codec import Codec
from hamgr.links.identity import ARBITER_NAME, Identity, IdentityError, read_identity
from hamgr.links.stream import CHANNEL_OPTIONS, SILENCE_MS


def channel_options(deadtime: float) -> list[tuple[str, Any]]:
    """As any stream's; but each report is answered, so a ping that asks whether the arbiter is there is sent only when
    a few answers are missing: thousands of nodes have one arbiter. deadtime: seconds."""
    patience_ms = max(SILENCE_MS, int(deadtime * 1000 / 4))
    return [*CHANNEL_OPTIONS, ("grpc.keepalive_time_ms", patience_ms), ("grpc.http2.bdp_probe", 0)]


class Caller:
    """Opens a channel to each address. codec: of the cluster's own keys. identity: its file; None to call plainly."""

    def __init__(self, codec: Codec, identity: Path | None, deadtime: float = 10.0) -> None:
        self._options = channel_options(deadtime)
        self._file = identity
        self._seen: object = None
        self._identity: Identity | None = None
        self._channels: dict[str, grpc.aio.Channel] = {}
        self.codec = codec
        if identity is not None:
            # The arbiter of many clusters does not have this cluster's keys, but a key for what is said to it.
            self.codec = Codec(codec.cluster, codec.node, {0: bytes(32)}, 0, codec.incarnation)

    async def channel(self, where: str) -> grpc.aio.Channel:
        """One that uses the newest identity; it stays ours. Raises IdentityError."""
        if self._file is None:
            if where not in self._channels:
                self._channels[where] = grpc.aio.insecure_channel(where, options=self._options)
            return self._channels[where]
        fresh = await asyncio.to_thread(self._look, self._file)  # a thread: the disk may hang, the heartbeats must not
        if fresh is not None:
            await self.close()
            self._identity = fresh
            self.codec.reload(fresh.keys.keys, fresh.keys.active)
        assert self._identity is not None
        if time.time() >= self._identity.ends:
            ended = f"{datetime.fromtimestamp(self._identity.ends, UTC):%Y-%m-%d %H:%M} UTC"
            raise IdentityError(f"{self._file}: found a certificate that expired at {ended}: `hamgr join` with a token")
        if where not in self._channels:
            self._channels[where] = self._secure(where, self._identity)
        return self._channels[where]

    def _look(self, file: Path) -> Identity | None:
        """The identity in the file, if it is another one than before. Raises IdentityError."""
        try:
            status = file.stat()
        except OSError as error:
            raise IdentityError(f"{file}: {error.strerror}: `hamgr join TOKEN` makes it") from None
        seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        if seen == self._seen:
            return None
        found = read_identity(file)
        if (found.cluster, found.node) != (self.codec.cluster, self.codec.node):
            us = f"{self.codec.node} of {self.codec.cluster}"
            raise IdentityError(f"{file}: found the identity of {found.node} of {found.cluster}, allowed one of {us}")
        self._seen = seen
        return found

    def _secure(self, where: str, identity: Identity) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(
            identity.authorities.encode(), identity.key.encode(), identity.certificate.encode()
        )
        options = [*self._options, ("grpc.ssl_target_name_override", ARBITER_NAME)]
        return grpc.aio.secure_channel(where, credentials, options=options)

    async def close(self) -> None:
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close(None)
