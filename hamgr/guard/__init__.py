"""The guard: a tiny process beside hamgrd that ends what the node runs when hamgrd is dead, frozen or too late.

It imports next to nothing, so that it is small enough to be locked in memory whole, and needs no disk once it runs.
"""
