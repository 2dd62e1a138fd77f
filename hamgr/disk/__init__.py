"""A small region of a disk that all nodes reach: leases, poison pills, and frames in place of a network."""
