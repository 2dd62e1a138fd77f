"""The command line: `hamgr`."""
