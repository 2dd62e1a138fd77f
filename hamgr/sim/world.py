"""One universe: machines, network, arbiter, power and operators under one virtual clock, all from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterable

from arbiter.decide import VoteBook
from hamgr.core.cluster import ClusterSpec
from hamgr.core.electorate import ARBITER, Electorates
from hamgr.core.events import PacketReceived
from hamgr.core.messages import Packet
from hamgr.sim import faults
from hamgr.sim.arbitration import STRANGER, WHO, Arbitration, Kept
from hamgr.sim.conditions import CALM, Conditions
from hamgr.sim.configs import Configs
from hamgr.sim.diskarbitration import DiskArbitration
from hamgr.sim.engine import Engine
from hamgr.sim.faults import Fault
from hamgr.sim.invariants import Checker
from hamgr.sim.machine import UNEDITED, Machine
from hamgr.sim.network import Network
from hamgr.sim.operators import Operators
from hamgr.sim.power import FenceMode, Power
from hamgr.sim.services import Trouble
from hamgr.sim.trace import Trace

RESTART = 2.0
"""Seconds after which the init system tries again to start a daemon that could not start."""


RELOAD = (0.3, 1.2)
"""Seconds that a daemon needs to start anew."""


class World:
    """Each part draws from a generator of its own, so that what one part does changes little for the others."""

    def __init__(
        self,
        spec: ClusterSpec,
        conditions: Conditions,
        seed: int | str,
        trace: Trace | None = None,
        arbiter_on_disk: bool = False,
    ) -> None:
        self.spec = spec
        self.conditions = conditions
        self.trace = trace or Trace()
        self.engine = Engine()
        self.machine_rng = random.Random(f"{seed}/machine")
        self.disk_rng = random.Random(f"{seed}/disk")
        self.service_rng = random.Random(f"{seed}/service")
        self.power_rng = random.Random(f"{seed}/power")
        self.arbiter_rng = random.Random(f"{seed}/arbiter")
        self.operator_rng = random.Random(f"{seed}/operator")
        network_rng = random.Random(f"{seed}/network")
        self.network = Network(self.engine, spec.link_names, conditions, network_rng, self._arrived)
        self.checker = Checker(self)
        self.operators = Operators(self)
        self.configs = Configs(self)
        self.power = Power(self)
        kind: type[Arbitration | DiskArbitration] = DiskArbitration if arbiter_on_disk else Arbitration
        self.arbitration = kind(self) if spec.arbiter else None
        self.second: Arbitration | None = None
        """Another process over the same store."""
        self.stranger: Arbitration | None = None
        """An arbiter with a store of its own, and votes of its own."""
        if isinstance(self.arbitration, Arbitration):
            self.second = Arbitration(self, self.arbitration.kept, "second")
        if self.arbitration is not None:
            self.stranger = Arbitration(self, Kept(STRANGER, VoteBook(voter=True)), "stranger")
        self.elsewhere: dict[str, Arbitration | DiskArbitration] = {}
        """The nodes whose arbiter's address leads to another process than the first."""
        self.machines = {name: Machine(self, name) for name in spec.names}

    def begin(self, faults_: Iterable[Fault], started: Iterable[str]) -> None:
        """Start the arbiter and these nodes, and make the faults due."""
        if self.arbitration is not None and self.stranger is not None:
            self.arbitration.start()
            self.stranger.start()
        for name in started:
            self.machines[name].power_on()
            self.machines[name].start_daemon()
        for fault in faults_:
            self.engine.at(fault.at, faults.apply, self, fault)

    # -- what arrives -------------------------------------------------------------------------------------------

    def _arrived(self, link: str, packet: Packet) -> None:
        process = self.machines[packet.to].process
        if process is not None and not process.muted:
            process.post(PacketReceived(link, packet))

    # -- power --------------------------------------------------------------------------------------------------

    def repower(self, machine: Machine) -> None:
        """Somebody, or the device itself, powers the machine on again after a while."""
        span = self.conditions.repower
        if span is not None:
            self.engine.after(self.machine_rng.uniform(*span), self.boot, machine)

    def boot(self, machine: Machine) -> None:
        """Power it on; its init system starts the daemon, again and again until it starts."""
        if machine.powered or machine.held_off:
            return
        machine.power_on()
        self.engine.after(self.machine_rng.uniform(*self.conditions.boot), self._daemon, machine, machine.boots)

    def _daemon(self, machine: Machine, boot: int) -> None:
        if machine.boots == boot and machine.powered and machine.process is None and not machine.start_daemon():
            self.engine.after(RESTART, self._daemon, machine, boot)

    def restart(self, machine: Machine) -> None:
        """Its daemon ended to start anew."""
        self.engine.after(self.machine_rng.uniform(*RELOAD), self._daemon, machine, machine.boots)

    # -- the arbiter --------------------------------------------------------------------------------------------

    def arbiter_of(self, node: str) -> Arbitration | DiskArbitration | None:
        return self.elsewhere.get(node, self.arbitration)

    def lead(self, node: str, to: Arbitration | DiskArbitration | None) -> None:
        """Where the address of a node's arbiter leads to from now on. Before there is a stranger, all must have it on
        record which store is the cluster's."""
        durables = [machine.disk.durable for machine in self.machines.values()]
        if to is self.stranger and not all(durable.state.arbiter or not durable.initialised for durable in durables):
            return
        before = self.arbiter_of(node)
        if to is None or before is None or to is before:
            return
        if to is self.second and not to.up:
            # From now on there are two processes, and each looks before it speaks.
            to.kept.shared = True
            to.start()
        before.dismiss(node)
        self.elsewhere[node] = to

    # -- the voters ---------------------------------------------------------------------------------------------

    def may_wipe(self, voter: str) -> bool:
        """May this voter lose its memory too, with a majority still left that has one?"""
        with_one = {name for name, machine in self.machines.items() if machine.disk.durable.initialised} - {voter}
        if self.arbitration is not None and self.arbitration.voter and voter != WHO:
            with_one.add(ARBITER)
        newest = max((machine.disk.durable.state for machine in self.machines.values()), key=lambda state: state.stamp)
        # A coordinator may be about to write other voters down, of whom this one is a quorum alone (a tie-breaker).
        running = [machine.process.node for machine in self.machines.values() if machine.process is not None]
        some = [Electorates(), newest.electorates, *(node.electorates for node in running)]
        return not any(self.spec.electorates(recorded).would_miss(with_one) for recorded in some)

    # -- peace --------------------------------------------------------------------------------------------------

    def repair(self, conditions: Conditions = CALM) -> None:
        """The faults stop and everything is mended: all that can be powered on and healed is."""
        self.trace.note(self.engine.now, "---", "the faults are over, everything is repaired")
        self.conditions = self.network.conditions = conditions
        self.network.extra_loss = 0.0
        self.network.heal()
        for name in self.spec.names:
            self.lead(name, self.arbitration)
        if self.arbitration is not None:
            self.arbitration.heal()
            self.arbitration.store_fails = False
            self.arbitration.start()
        for name in self.spec.names:
            self.power.modes[name] = FenceMode.OK
        for machine in self.machines.values():
            machine.disk.repair(conditions)
            machine.watchdog_by_hand = UNEDITED
            machine.set_guard(True)
            for service in machine.services.values():
                service.trouble = Trouble.NONE
        self.tend()

    def tend(self) -> None:
        """Once in a while in peace: whoever is off or without a daemon is started; who is silent is reset."""
        for machine in self.machines.values():
            process = machine.process
            if process is not None and process.muted:
                machine.power_off("reset by an operator, as it is silent")
            if not machine.powered:
                self.boot(machine)
            elif process is None:
                machine.start_daemon()
