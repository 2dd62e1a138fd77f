"""The deterministic simulator: many nodes, a virtual clock, a hostile network, invariants."""
