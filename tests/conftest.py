"""What all tests share: no example of hypothesis fails by being slow, for a busy machine makes any slow."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("hamgr", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hamgr")
