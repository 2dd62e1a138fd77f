"""Fence agents: executables with the ClusterLabs fence agent API."""
