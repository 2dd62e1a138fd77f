"""Heartbeat's own files, ha.cf, haresources and authkeys, become the tables that a hamgr.toml would have."""
