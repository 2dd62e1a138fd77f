"""`hamgr lab`: the lab from the command line. Exit codes: 0 done, 1 refused or failed with the reason, 2
usage.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hamgr.config.problems import ConfigError
from hamgr.config.toml import parse
from hamgr.lab import demo
from hamgr.lab.answers import Answer
from hamgr.lab.files import hamgr_toml
from hamgr.lab.lab import PROBE_INTERVAL, Lab, default_directory, probe_command
from hamgr.lab.links import LINKS
from hamgr.lab.namespaces import LabError
from hamgr.lab.observe import NotAnswering
from hamgr.lab.plan import ARBITERS, CLIENT, NETWORKS, NODE_NAMES, SHARED_DISK, VIP, Fencing, Options
from hamgr.lab.watch import LONGEST_GAP_INTERVALS
from hamgr.resources.kinds import RESOURCE_KINDS

_TIMES = ("keepalive", "warntime", "deadtime", "initdead", "lease", "settle")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give the parser the lab's sub-commands; `run` carries them out."""
    parser.description = "A real cluster in network namespaces on this machine, as root or not."
    commands = parser.add_subparsers(dest="lab_command", required=True, metavar="COMMAND")

    def command(name: str, carry_out: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.add_argument("--dir", type=Path, default=default_directory(), help="the lab's directory (%(default)s)")
        one.set_defaults(carry_out=carry_out)
        return one

    up = command("up", _up, "bring a lab up and leave it running")
    _add_options(up)
    down = command("down", _down, "end every process of the lab and remove its directory")
    down.add_argument("--keep", action="store_true", help="keep the directory, with its logs")
    command("status", _status, "which machines are on, and who has the address")
    execute = command("exec", _exec, "run a command on a machine: exec NODE -- CMD ...")
    execute.add_argument("node")
    execute.add_argument("words", nargs=argparse.REMAINDER, metavar="-- CMD")
    for name, act, text in (
        ("kill", _kill, "pull a machine's plug: its processes and links are gone, its BMC lives on"),
        ("power-on", _power_on, "boot a machine that is off"),
        ("start", _start, "start a machine's daemon, if it does not run"),
    ):
        command(name, act, text).add_argument("node")
    cut = command("cut", _cut, "drop a machine's traffic on a network, both ways")
    cut.add_argument("node")
    cut.add_argument("link", choices=NETWORKS)
    separate = command("separate", _separate, "drop all traffic between two machines, and no other")
    separate.add_argument("one")
    separate.add_argument("other")
    heal = command("heal", _heal, "undo cuts: of a machine, of a machine's network, or all")
    heal.add_argument("node", nargs="?", default="")
    heal.add_argument("link", nargs="?", default="", choices=("", *NETWORKS))
    client = command("client", _client, "ask the address who it is every few ms, and say what changes; Ctrl-C ends")
    client.add_argument("--address", default=VIP, help="%(default)s")
    show = command("demo", _demo, "a power-off, a fail-back and a split brain, shown with their milliseconds")
    show.set_defaults(dir=None)


def run(args: argparse.Namespace) -> int:
    """Carry out what `add_arguments` parsed."""
    try:
        code: int = args.carry_out(args)
    except LabError as error:
        print(f"hamgr lab {args.lab_command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader left (`| head`); Python's own flush at the end must not complain of it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _add_options(parser: argparse.ArgumentParser) -> None:
    defaults = Options()
    parser.add_argument("--nodes", type=int, choices=range(2, len(NODE_NAMES) + 1), metavar="N", default=defaults.nodes)
    for name in _TIMES:
        parser.add_argument(f"--{name}", default=getattr(defaults, name), help="%(default)s")
    parser.add_argument("--fencing", choices=[kind.value for kind in Fencing], default=defaults.fencing.value)
    parser.add_argument("--links", default=",".join(defaults.links), help=f"of {','.join(LINKS)} (%(default)s)")
    parser.add_argument("--baud", type=int, default=defaults.baud, help="of the serial line (%(default)s)")
    parser.add_argument("--tls", action="store_true", help="gRPC links use mutual TLS")
    parser.add_argument("--pings", action="store_true", help="the client machine is a ping target of the nodes")
    parser.add_argument("--realtime", action="store_true", help="hamgrd runs with realtime = true")
    parser.add_argument("--no-arbiter", dest="arbiter", action="store_false")
    parser.add_argument(
        "--arbiters", type=int, choices=(1, len(ARBITERS)), default=1, help="hosts over one etcd (%(default)s)"
    )
    parser.add_argument("--arbiter-disk", action="store_true", help="a shared disk is the arbiter, and no third host")
    parser.add_argument("--no-failback", dest="auto_failback", action="store_false")
    parser.add_argument("--service", action="store_true", help="the group runs nginx too")
    parser.add_argument("--groups", type=Path, metavar="FILE", help="group tables, in place of the lab's own group")
    parser.add_argument("--boot", type=Path, metavar="FILE", help="a shell script that each node runs at every boot")
    parser.add_argument("--shared-disk", default="", metavar="SIZE", help=f"a disk for all nodes, {SHARED_DISK}")
    parser.add_argument("--ha-dir", action="store_true", help="run from ha.cf, authkeys and a haresources (--groups)")
    parser.add_argument("--no-daemons", dest="daemons", action="store_false", help="machines without hamgrd")


def _up(args: argparse.Namespace) -> int:
    unknown = [link for link in args.links.split(",") if link not in LINKS]
    if unknown:
        print(f"hamgr lab up: --links: found {unknown[0]!r}, allowed {', '.join(LINKS)}", file=sys.stderr)
        return 2
    options = Options(
        nodes=args.nodes,
        **{name: getattr(args, name) for name in _TIMES},
        fencing=Fencing(args.fencing),
        arbiter=args.arbiter,
        arbiters=args.arbiters,
        arbiter_disk='"@DISK@"' if args.arbiter_disk else "",
        auto_failback=args.auto_failback,
        service=args.service,
        daemons=args.daemons,
        links=tuple(args.links.split(",")),
        baud=args.baud,
        tls=args.tls,
        pings=args.pings,
        realtime=args.realtime,
        groups=_content(args.groups),
        boot=_content(args.boot),
        shared_disk=args.shared_disk,
        ha_dir=args.ha_dir,
    )
    lab = Lab(options, args.dir)
    if not options.ha_dir:  # whose addresses are known to the nodes alone
        try:
            parse(hamgr_toml(options, lab.layout).encode(), lab.layout.config, RESOURCE_KINDS)
        except ConfigError as error:
            raise LabError(str(error)) from error
    lab.up(detached=True)
    print(f"up: {', '.join(options.machine_names)}; directory {args.dir}; `hamgr lab status` shows it")
    return 0


def _content(file: Path | None) -> str:
    try:
        return file.read_text() if file is not None else ""
    except OSError as error:
        raise LabError(f"{file} can't be read: {error.strerror}") from error


def _down(args: argparse.Namespace) -> int:
    Lab.remove(args.dir, keep=args.keep)
    return 0


def _status(args: argparse.Namespace) -> int:
    lab = Lab.attach(args.dir)
    for name, pid in lab.machines().items():
        line = f"{name:<8} {'on' if pid is not None else 'off':<4}"
        if name in lab.options.node_names and pid is not None and lab.options.daemons:
            line += _daemon_line(lab, name)
        print(line.rstrip())
    print(f"{VIP}: {' and '.join(lab.owners()) or 'nobody has it'}")
    return 0


def _daemon_line(lab: Lab, node: str) -> str:
    try:
        status = lab.status(node)
    except NotAnswering:
        return "its hamgrd does not answer"
    quorate = "quorate" if status["quorate"] else "no quorum"
    return f"{status['role']}, {quorate}, epoch {status['epoch']}, coordinator {status['coordinator'] or 'none'}"


def _exec(args: argparse.Namespace) -> int:
    words = args.words[1:] if args.words[:1] == ["--"] else args.words
    if not words:
        raise LabError("nothing to run: hamgr lab exec NODE -- CMD ...")
    lab = Lab.attach(args.dir)
    command = lab.node(args.node).command(words)
    sys.stdout.flush()
    os.execvpe(command[0], command, lab.environment)


def _kill(args: argparse.Namespace) -> int:
    Lab.attach(args.dir).node(args.node).power_off()
    return 0


def _power_on(args: argparse.Namespace) -> int:
    Lab.attach(args.dir).node(args.node).power_on()
    return 0


def _start(args: argparse.Namespace) -> int:
    Lab.attach(args.dir).node(args.node).start_daemon()
    return 0


def _cut(args: argparse.Namespace) -> int:
    Lab.attach(args.dir).cut(args.node, args.link)
    return 0


def _separate(args: argparse.Namespace) -> int:
    Lab.attach(args.dir).separate(args.one, args.other)
    return 0


def _heal(args: argparse.Namespace) -> int:
    Lab.attach(args.dir).heal(args.node, args.link)
    return 0


def _client(args: argparse.Namespace) -> int:
    lab = Lab.attach(args.dir)
    print(f"asking {args.address} from {CLIENT}", flush=True)
    asking = lab.client.command(probe_command(args.address, PROBE_INTERVAL))
    last: Answer | None = None
    with subprocess.Popen(
        asking,
        env=lab.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            answer = Answer.parse(line)
            if last is not None and answer.received - last.received > LONGEST_GAP_INTERVALS * PROBE_INTERVAL:
                _tell(f"no answer for {1000 * (answer.received - last.received):.0f} ms")
            if last is None or answer.node != last.node:
                _tell(f"{answer.node} answers")
            last = answer
    return 0


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _demo(args: argparse.Namespace) -> int:
    return demo.run(args.dir, sys.stdout)
