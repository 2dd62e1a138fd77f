"""hamgr: a high-availability manager that fences before it takes over."""

import os

__version__ = "0.1.0"

# gRPC tells its failures to the caller as well; its own lines would stand between the operator's.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
