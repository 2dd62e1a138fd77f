"""The pure core: decides everything, touches nothing (no socket, file, clock, thread or subprocess)."""
