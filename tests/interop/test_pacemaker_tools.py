"""Our fence agents through Pacemaker's eyes, and against ClusterLabs' schema of an agent's metadata."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.metadata import distribution
from pathlib import Path

import pytest

SCRIPTS = Path(sys.executable).parent
SCHEMA = Path("/usr/share/cluster/relaxng/metadata.rng")
AGENTS = sorted(
    script.name
    for script in distribution("hamgr").entry_points.select(group="console_scripts")
    if script.name.startswith("fence_hamgr_")
)
OUR_IPMI = {"ip": "10.0.0.1", "username": "admin", "password": "geheim"}

needs_schema = pytest.mark.skipif(
    not SCHEMA.exists() or shutil.which("xmllint") is None, reason="needs fence-agents and xmllint (libxml2-utils)"
)


def sees_our_agents() -> bool:
    """Pacemaker looks for agents in /usr/sbin alone: the test lays ours over it, where nobody else sees it."""
    return os.geteuid() == 0 and pacemaker("stonith_admin", "--version").returncode == 0


def pacemaker(*command: str) -> subprocess.CompletedProcess[str]:
    lay = f'mount -t overlay overlay -o lowerdir={SCRIPTS}:/usr/sbin /usr/sbin && exec "$0" "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", lay, *command], capture_output=True, text=True, timeout=30
    )


def validate(**options: str) -> subprocess.CompletedProcess[str]:
    flags = [word for name, value in options.items() for word in ("--option", f"{name}={value}")]
    return pacemaker("stonith_admin", "--validate", "--agent", "fence_hamgr_ipmi", *flags)


needs_pacemaker = pytest.mark.skipif(
    not sees_our_agents(), reason="needs root, overlayfs and stonith_admin (pacemaker-cli-utils)"
)


@needs_schema
@pytest.mark.parametrize("agent", AGENTS)
def test_the_metadata_is_valid(agent: str) -> None:
    metadata = subprocess.run([SCRIPTS / agent, "-o", "metadata"], capture_output=True, check=True).stdout
    done = subprocess.run(
        ["xmllint", "--noout", "--relaxng", str(SCHEMA), "-"], input=metadata, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


@needs_pacemaker
def test_pacemaker_finds_all_of_them() -> None:
    assert set(AGENTS) <= set(pacemaker("stonith_admin", "--list-installed").stdout.split())


@needs_pacemaker
@pytest.mark.parametrize("agent", AGENTS)
def test_pacemaker_reads_the_metadata(agent: str) -> None:
    done = pacemaker("stonith_admin", "--metadata", "--agent", agent)
    assert done.returncode == 0, done.stderr
    assert ET.fromstring(done.stdout).get("name") == agent


@needs_pacemaker
def test_pacemaker_validates_good_options() -> None:
    done = validate(**OUR_IPMI)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stdout + done.stderr


@needs_pacemaker
def test_pacemaker_is_told_of_bad_options_and_of_no_secret() -> None:
    done = validate(**OUR_IPMI | {"cipher": "99"})
    assert done.returncode != 0
    assert "option cipher: found '99'" in done.stdout + done.stderr
    assert "geheim" not in done.stdout + done.stderr
