"""The admin service of a daemon, by gRPC on a Unix socket."""
