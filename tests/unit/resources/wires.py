"""Two nodes and a client on one bridge, in real network namespaces, with virtual addresses that are really added."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_namespaces = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="needs ip (iproute2)"),
]

RUN = """
import asyncio, importlib, json, subprocess, sys
from hamgr.config.model import ResourceConfig, RouteConfig
from hamgr.resources.kept_routes import KeptRoutes
from hamgr.resources.kinds import RESOURCE_KINDS
from hamgr.resources.resource import ResourceError, Surroundings

class Kept:
    def __init__(self, options, tell):
        self.routes = KeptRoutes([RouteConfig("peer", "a", **options)], tell)

    async def start(self):
        self.routes.start()

    async def close(self):
        self.routes.close()

def build(kind, options, surroundings):
    if kind == "kept":
        return Kept(options, surroundings.tell)
    return RESOURCE_KINDS[kind].build(ResourceConfig(kind, kind, options), surroundings)

async def main():
    given = json.loads(sys.argv[2])
    for place, value in given.pop("constants", {}).items():
        module, name = place.split(".")
        setattr(importlib.import_module("hamgr.resources." + module), name, value)
    happened, news, may_mend = [], asyncio.Event(), given.pop("may_mend", True)

    def note(text):
        happened.append(text)
        news.set()

    surroundings = Surroundings(
        group="web",
        tell=lambda kind, text: note(f"{kind.value}: {text}"),
        may_mend=lambda: may_mend,
        hindered=lambda resource, reason: note(f"{resource} hindered: {reason}"),
        node_addresses=given.pop("node_addresses", {}),
    )
    one = build(sys.argv[1], given, surroundings)
    if sys.argv[1] != "kept":
        one.watch(lambda why: note(f"lost: {why}"))
        await one.prepare()
    said = []
    for word in sys.argv[3:]:
        if word.startswith("later "):
            asyncio.get_running_loop().call_later(0.3, subprocess.run, word.split()[1:])
            said.append("done")
        elif word.startswith("ip "):
            done = await asyncio.create_subprocess_exec(*word.split(), stdout=subprocess.DEVNULL)
            assert await done.wait() == 0, word
            said.append("done")
        elif word.startswith("output "):
            _, text, *command = word.split()
            async with asyncio.timeout(10):
                while text not in (shown := (await asyncio.to_thread(subprocess.check_output, command)).decode()):
                    pass
            said.append(shown)
        elif word.startswith("until "):
            _, ns, text = word.split()
            command = ["ip", "-n", ns, "neighbour"]
            async with asyncio.timeout(10):
                while text not in (await asyncio.to_thread(subprocess.check_output, command)).decode():
                    pass
            said.append("done")
        elif word == "news":
            async with asyncio.timeout(10):
                while not happened:
                    news.clear()
                    await news.wait()
            said.append(happened.pop(0))
        elif word == "lost":
            async with asyncio.timeout(10):
                while not any(text.startswith("lost") for text in happened):
                    news.clear()
                    await news.wait()
            said.append(next(text for text in happened if text.startswith("lost")))
        elif word == "no news":
            said.append(happened.pop(0) if happened else "done")
        else:
            try:
                found = await getattr(one, word)()
                why = f": {one.reason}" if found is not None and found.value == "failed" else ""
                said.append(found.value + why if found is not None else "done")
            except ResourceError as error:
                said.append(f"error: {error}")
    await one.close()
    print(json.dumps(said))

asyncio.run(main())
"""


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


class Net:
    """Namespaces a, b and client, each with eth0, on one bridge in a fourth."""

    def __init__(self) -> None:
        self._prefix = f"hv{os.getpid()}"
        self._files: list[Path] = []

    def build(self) -> None:
        for name in ("switch", "a", "b", "client"):
            ip("netns", "add", self.ns(name))
        self.ip("switch", "link", "add", "br0", "type", "bridge")
        self.ip("switch", "link", "set", "br0", "up")
        for number, name in enumerate(("a", "b", "client"), 1):
            self.ip(
                "switch", "link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns", self.ns(name)
            )
            self.ip("switch", "link", "set", "dev", name, "master", "br0", "up")
            self.ip(name, "address", "add", f"192.0.2.{number}/24", "dev", "eth0")
            self.ip(name, "address", "add", f"2001:db8::{number}/64", "dev", "eth0", "nodad")
            self.ip(name, "link", "set", "eth0", "up")

    def card(self, name: str, interface: str) -> None:
        """One more interface, with nobody at the other end of its cable."""
        self.ip(name, "link", "add", "name", interface, "type", "veth", "peer", "name", f"{interface}-end")
        for end in (interface, f"{interface}-end"):
            self.ip(name, "link", "set", end, "up")

    def plug(self, name: str, interface: str) -> None:
        """One more interface, on the bridge too."""
        end = f"{name}-{interface}"
        self.ip("switch", "link", "add", "name", end, "type", "veth", "peer", "name", interface, "netns", self.ns(name))
        self.ip("switch", "link", "set", "dev", end, "master", "br0", "up")
        self.ip(name, "link", "set", interface, "up")

    def ns(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def ip(self, name: str, *words: str) -> str:
        return ip("-n", self.ns(name), *words)

    def vip(self, name: str, address: str, *words: str, **options: object) -> list[str]:
        """The words done to a vip; options that are None are not given."""
        given = {"address": address, "announcements": 2, "interface": "eth0", **options}
        return self.resource("vip", name, *words, **{key: value for key, value in given.items() if value is not None})

    def resource(self, kind: str, name: str, *words: str, **options: object) -> list[str]:
        """The words are done one after the other on node `name`; what each gave.

        Words: the operations; "ip ..." and "later ip ..." run it at once, and 0.3 s later; "news" waits for what the
        operators are told, what hinders and what is lost; "no news" says that there was none; "lost" waits for what is
        lost alone; "until NAMESPACE TEXT"
        waits until its neighbours have this text, "output TEXT COMMAND" until what the command prints has it.
        """
        command = ["ip", "netns", "exec", self.ns(name), sys.executable, "-c", RUN, kind, json.dumps(options), *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
        return json.loads(done.stdout)

    def has(self, name: str, address: str) -> bool:
        return bool(json.loads(self.ip(name, "-json", "address", "show", "to", address) or "[]"))

    def places(self, name: str, address: str) -> list[tuple[str, int]]:
        """The interfaces that have the address, with the prefix there."""
        shown = json.loads(self.ip(name, "-json", "address", "show"))
        return [
            (card["ifname"], one["prefixlen"])
            for card in shown
            for one in card.get("addr_info", [])
            if one["local"] == address
        ]

    def mac(self, name: str) -> str:
        return json.loads(self.ip(name, "-json", "link", "show", "eth0"))[0]["address"]

    def neighbour(self, address: str, of: str = "client") -> str:
        entries = json.loads(self.ip(of, "-json", "neighbour", "show", address) or "[]")
        return entries[0].get("lladdr", "") if entries else ""

    def ping(self, address: str) -> None:
        self.ping_from("client", address)

    def ping_from(self, name: str, address: str, answered: bool = True) -> None:
        command = ["ip", "netns", "exec", self.ns(name), "ping", "-c1", "-W5" if answered else "-W1", address]
        subprocess.run(command, check=answered, capture_output=True)

    def sysctl(self, name: str, setting: str) -> None:
        subprocess.run(["ip", "netns", "exec", self.ns(name), "sysctl", "-qw", setting], check=True)

    def script(self, text: str) -> str:
        """A file with this text, until the net is removed."""
        self._files.append(Path(tempfile.mkstemp(prefix=self._prefix)[1]))
        self._files[-1].write_text(text)
        return str(self._files[-1])

    def remove(self) -> None:
        for file in self._files:
            file.unlink()
        for name in ("switch", "a", "b", "client"):
            subprocess.run(["ip", "netns", "delete", self.ns(name)], check=False, capture_output=True)


@contextmanager
def wires() -> Iterator[Net]:
    """The machines, wired; gone after it, whatever happens."""
    net = Net()
    try:
        net.build()
        yield net
    finally:
        net.remove()
