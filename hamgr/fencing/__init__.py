"""Runs fence agents outside the heartbeat loop, in a warm worker process."""
