"""hamgr: a high-availability manager that fences before it takes over."""

__version__ = "0.1.0"
