"""The port where nodes join and renew: one request a connection, over TLS, from few strangers at a time.

The first line tells the authority that vouches for us: who has a token compares it with the fingerprint there before
he says his secret. A certificate is asked for and not required: who joins has none yet.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
from collections import Counter
from collections.abc import Callable

from arbiter.authority import OwnCertificate, own_certificate
from arbiter.joining import JoinDesk
from arbiter.refusals import Refusals
from arbiter.registry import RegistryError, Roll

log = logging.getLogger("hamgr-arbiter")

PATIENCE = 10.0
"""Seconds for a whole connection."""

MOST = 32
"""Connections at once; one more ends the oldest of whoever has most, so that a stranger keeps no node out."""

LONGEST = 16384
"""Bytes of a request: a certificate request has about 500."""


def server_context(roll: Roll, own: OwnCertificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=roll.bundle)
    # The module reads certificates from files only; this one has no name and is in memory.
    descriptor = os.memfd_create("hamgr-arbiter", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, own.chain + own.key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


class JoinPort:
    """changed: called after the registry was changed."""

    def __init__(self, desk: JoinDesk, refusals: Refusals, changed: Callable[[], None]) -> None:
        self._desk = desk
        self._refusals = refusals
        self._changed = changed
        self._server: asyncio.Server | None = None
        self._context: ssl.SSLContext | None = None
        self._greeting = b""
        self._open: dict[asyncio.Task[None], str] = {}
        self._asking = asyncio.Lock()

    def use(self, roll: Roll, own: OwnCertificate | None = None) -> None:
        """From now on show this, and believe whom the roll's authorities vouch for."""
        signer = roll.signer
        assert signer is not None
        self._context = server_context(roll, own or own_certificate(signer))
        self._greeting = json.dumps({"authority": signer.certificate}).encode() + b"\n"

    async def listen(self, host: str, port: int) -> None:
        """Raises OSError."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=LONGEST)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = str((writer.get_extra_info("peername") or ("?",))[0])
        if len(self._open) >= MOST:
            ((greedy, _count),) = Counter(self._open.values()).most_common(1)
            oldest = next(task for task, other in self._open.items() if other == greedy)
            del self._open[oldest]
            oldest.cancel()
        task = asyncio.create_task(self._serve(reader, writer, source))
        self._open[task] = source
        task.add_done_callback(lambda ended: self._open.pop(ended, ""))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                assert self._context is not None
                await writer.start_tls(self._context)
                writer.write(self._greeting)
                await writer.drain()
                line = await reader.readline()
                if line:
                    writer.write(await self._reply(line, writer.get_extra_info("ssl_object"), source))
                    await writer.drain()
        except ssl.SSLError as error:
            # CERTIFICATE_VERIFY_FAILED with its reason, or no TLS at all.
            self._refusals.note("joining", error.reason or str(error), source)
        except (TimeoutError, OSError, ValueError):
            self._refusals.note("joining", "no request in time", source)
        finally:
            writer.close()

    async def _reply(self, line: bytes, shown: ssl.SSLObject, source: str) -> bytes:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ValueError("no object")
        except ValueError:
            self._refusals.note("joining", "the request is no JSON object", source)
            return b'{"refused": "the request is no JSON object"}\n'
        certificate = shown.getpeercert(binary_form=True)
        try:
            async with self._asking:  # SQLite has one writer
                outcome = await asyncio.to_thread(self._desk.answer, request, certificate, source)
        except RegistryError as error:
            log.error("joining: %s", error)
            return b'{"refused": "the arbiter can\'t read or write its registry; its log says why"}\n'
        if outcome.refused:
            self._refusals.note("joining", outcome.reply["refused"], source)
        elif outcome.told:
            log.info("joining: %s", outcome.told)
        if outcome.changed:
            self._changed()
        return json.dumps(outcome.reply).encode() + b"\n"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
