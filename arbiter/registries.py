"""Where an arbiter's records are: who was enrolled, and the votes, in the state directory or in etcd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from arbiter.config import ArbiterConfig
from arbiter.registry import DATABASE, Registry
from arbiter.store import SqliteStore

if TYPE_CHECKING:
    from arbiter.etcdbooks import EtcdBooks


def registry_of(config: ArbiterConfig) -> Registry:
    """Raises RegistryError, StoreError."""
    if config.etcd is None:
        return Registry(config.state_dir)
    from arbiter.etcdregistry import EtcdRegistry

    return EtcdRegistry(config.etcd)


def has_registry(config: ArbiterConfig) -> bool:
    """Whether there is one, without making it."""
    return config.etcd is not None or (config.state_dir / DATABASE).exists()


@contextmanager
def enrolments(config: ArbiterConfig) -> Iterator[Registry]:
    registry = registry_of(config)
    try:
        yield registry
    finally:
        registry.close()


@contextmanager
def votes(config: ArbiterConfig, shared: bool = True) -> Iterator[SqliteStore | EtcdBooks]:
    """shared: others may have them open meanwhile, as etcd always lets them."""
    books: SqliteStore | EtcdBooks
    if config.etcd is None:
        books = SqliteStore(config.state_dir, shared)
    else:
        from arbiter.etcdbooks import EtcdBooks

        books = EtcdBooks(config.etcd)
    try:
        yield books
    finally:
        books.close()
