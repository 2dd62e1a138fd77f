"""Where it is kept who was enrolled: beside the votes, in the state directory or in etcd."""

from __future__ import annotations

from arbiter.config import ArbiterConfig
from arbiter.registry import DATABASE, Registry


def registry_of(config: ArbiterConfig) -> Registry:
    """Raises RegistryError, StoreError."""
    if config.etcd is None:
        return Registry(config.state_dir)
    from arbiter.etcdregistry import EtcdRegistry

    return EtcdRegistry(config.etcd)


def has_registry(config: ArbiterConfig) -> bool:
    """Whether there is one, without making it."""
    return config.etcd is not None or (config.state_dir / DATABASE).exists()
