"""A real cluster on one machine, in network namespaces."""
