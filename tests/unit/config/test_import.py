"""`hamgr import`: the TOML that is written loads to the same model as the files that it comes from."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hadir import AUTHKEYS, SAMPLES, ha_dir, machine, read, sample

from hamgr.config.heartbeat.here import Here
from hamgr.config.heartbeat.toml_out import text_of
from hamgr.config.source import load
from hamgr.config.toml import load as load_toml
from hamgr.links.keys import load_keys
from hamgr.resources.kinds import RESOURCE_KINDS

HAMGR = str(Path(sys.executable).parent / "hamgr")
_HOSTS = {"10.0.1.2": ("b.example.org",), "10.0.1.3": ("c.example.org", "c")}

MACHINES: dict[str, Here] = {
    "classic": machine("a", ("10.0.0.1",)),
    "everything": machine("kathy"),
    "three_nodes": machine("a.example.org", ("10.0.1.1",), _HOSTS),
    "old": machine("a"),
    "ipv6": machine("a", ("fe80::1%eth1",)),
}

LOOPBACK = """
udpport 7694
ucast lo 127.0.0.1
ucast lo 192.0.2.9
node here there
auto_failback on
stonith_host * external/ipmi there 192.0.2.22 me verysecret lanplus
hopfudge 1
"""


def hamgr(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HAMGR, *words], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)


def test_every_sample_has_a_machine() -> None:
    assert {sample.name for sample in SAMPLES.iterdir()} == set(MACHINES)


@pytest.mark.parametrize("name", MACHINES)
def test_the_written_file_is_the_same_configuration(tmp_path: Path, name: str) -> None:
    config, draft = read(sample(tmp_path, name), MACHINES[name])
    written = tmp_path / "written.toml"
    written.write_text(text_of(draft, tmp_path), encoding="utf-8")
    again = load_toml(written, RESOURCE_KINDS)
    assert again == replace(config, path=written, digest=again.digest)
    assert load_keys(again.key_file) == load_keys(config.key_file)


@pytest.mark.parametrize("name", MACHINES)
def test_what_has_no_equal_stands_at_the_end(tmp_path: Path, name: str) -> None:
    _, draft = read(sample(tmp_path, name), MACHINES[name])
    text = text_of(draft, tmp_path)
    end = text.partition("# What Heartbeat's files say and hamgr does not do, or does differently:")[2]
    assert end.count("\n# - ") == len(draft.notes)
    assert all(line.startswith("#") for line in end.strip().splitlines())


def test_each_table_tells_its_line(tmp_path: Path) -> None:
    text = text_of(read(sample(tmp_path, "everything"), MACHINES["everything"])[1], tmp_path)
    assert 'keepalive = "500ms"  # ha.cf 7: keepalive 500ms\n' in text
    assert "# ha.cf 14: serial /dev/ttyS0\n[link.ttyS0]\n" in text
    assert "# haresources 2: ken3 drbddisk::shop " in text
    assert "# ha.cf 44: stonith_host ...\n[fence.ipmi-ken3]\n" in text
    assert text.count("ADMIN") == 2, "a password is not repeated in a comment"


def test_the_annotated_sample_says_what_each_directive_became(tmp_path: Path) -> None:
    config, draft = read(sample(tmp_path, "everything"), MACHINES["everything"])
    assert [(link.name, link.kind) for link in config.links] == [
        ("ttyS0", "serial"),
        ("eth1", "broadcast"),
        ("eth2", "broadcast"),
        ("eth0", "multicast"),
    ]
    assert [group.name for group in config.groups] == ["apache", "mysql", "ip-192-168-1-12"]
    assert config.spec.group("mysql").nodes == ("kathy", "ken3")
    said = {note.key for note in draft.notes}
    for directive in ("use_logd", "hopfudge", "msgfmt", "watchdog", "apiauth", "env", "respawn", "stonith_host"):
        assert any(key.endswith(f"({directive})") for key in said), directive


def test_the_command_writes_a_file_that_only_root_can_read(tmp_path: Path) -> None:
    ha_dir(tmp_path, LOOPBACK, "here 192.0.2.77/24/lo\n")
    written, key = tmp_path / "hamgr.made", tmp_path / "cluster.key"
    words = ("import", str(tmp_path), "-o", str(written), "--node", "here", "--key-file", str(key))
    done = hamgr(*words)
    assert (done.returncode, done.stdout) == (0, f"{written}: written; `hamgr check {written}` checks it\n")
    assert "line 8 (hopfudge): warning: ignored: no message is passed on from link to link" in done.stderr
    assert "verysecret" not in done.stdout + done.stderr
    assert (written.stat().st_mode & 0o777, key.stat().st_mode & 0o777) == (0o600, 0o600)
    assert load_keys(key) == load_keys(tmp_path / "authkeys")
    assert hamgr("check", str(written)).returncode == 0
    made = load(written, None)
    assert made.config == replace(
        load(tmp_path, None, "here").config, path=written, key_file=key, digest=made.config.digest
    )
    again = hamgr(*words)
    assert (again.returncode, again.stderr) == (1, f"hamgr import: {written} exists; --force overwrites it\n")
    assert hamgr(*words, "--force").returncode == 0


def test_a_key_file_with_other_keys_is_never_overwritten(tmp_path: Path) -> None:
    ha_dir(tmp_path, LOOPBACK)
    key = tmp_path / "cluster.key"
    assert hamgr("key", "new", str(key)).returncode == 0
    before = key.read_text()
    done = hamgr("import", str(tmp_path), "--node", "here", "--key-file", str(key), "--force")
    assert (done.returncode, key.read_text()) == (1, before)
    assert "found a file with other keys, allowed a new file" in done.stderr


def test_without_a_file_it_is_written_to_the_output(tmp_path: Path) -> None:
    done = hamgr("import", str(ha_dir(tmp_path, LOOPBACK)), "--node", "here")
    (tmp_path / "out.toml").write_text(done.stdout)
    assert load(tmp_path / "out.toml", None).config.spec.names == ("here", "there")


def test_mistakes_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    ha_dir(tmp_path, LOOPBACK + "keepalvie 2\n")
    done = hamgr("import", str(tmp_path), "--node", "here", "-o", str(tmp_path / "out.toml"))
    assert (done.returncode, done.stdout, (tmp_path / "out.toml").exists()) == (2, "", False)
    assert 'line 9 (keepalvie): found "keepalvie"' in done.stderr


def test_check_and_init_and_key_list_take_the_directory(tmp_path: Path) -> None:
    directory = str(ha_dir(tmp_path, LOOPBACK, more=f'[cluster]\nstate_dir = "{tmp_path}/state"\n'))
    done = hamgr("check", directory, "--node", "here")
    assert (done.returncode, done.stdout.split(":")[0]) == (0, directory)
    assert "warning: ignored: no message is passed on" in done.stderr
    assert hamgr("--ha-dir", directory, "check", "--node", "here").returncode == 0
    assert hamgr("--ha-dir", directory, "init", "--node", "here").returncode == 0
    assert (tmp_path / "state").is_dir()
    listed = hamgr("key", "list", f"{directory}/authkeys")
    assert listed.stdout.startswith(f"{directory}/authkeys: key 1 (hmac-sha256) seals")
    refused = hamgr("key", "new", f"{directory}/authkeys")
    assert (refused.returncode, "change it by hand" in refused.stderr) == (1, True)
    assert (tmp_path / "authkeys").read_text() == AUTHKEYS


def test_a_script_that_is_missing_here_is_told_with_its_line(tmp_path: Path) -> None:
    directory = ha_dir(tmp_path, LOOPBACK, "\nhere 192.0.2.77/24/lo no-such-script\n")
    done = hamgr("check", str(directory), "--node", "here")
    assert done.returncode == 2
    assert f'{directory}/haresources: line 2 (here): found "no-such-script", allowed a script that can' in done.stderr
    assert f"{directory}/resource.d/no-such-script or /etc/init.d/no-such-script" in done.stderr


def test_commands_find_the_daemon_and_its_keys_while_the_network_is_down(tmp_path: Path) -> None:
    lines = LOOPBACK.replace("ucast lo 127.0.0.1", "").replace("ucast lo", "ucast no-such0")
    directory = ha_dir(tmp_path, lines, more=f'[cluster]\nadmin_socket = "{tmp_path}/no.sock"\n')
    status = hamgr("--ha-dir", str(directory), "status")
    assert (status.returncode, f"nothing answers at {tmp_path}/no.sock" in status.stderr) == (1, True)
    keys = hamgr("--ha-dir", str(directory), "key", "list")
    assert keys.stdout.startswith(f"{directory}/authkeys: key 1 (hmac-sha256) seals")


def test_authkeys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    directory = ha_dir(tmp_path, LOOPBACK)
    (directory / "authkeys").chmod(0o640)
    done = hamgr("check", str(directory), "--node", "here")
    assert done.returncode == 2
    assert f"found mode 0640, allowed 0600: chmod 600 {directory}/authkeys" in done.stderr


def test_the_daemon_waits_for_an_interface_that_is_not_there_yet(tmp_path: Path) -> None:
    lines = LOOPBACK.replace("ucast lo 127.0.0.1", "ucast no-such0 192.0.2.8").replace("ucast lo", "ucast no-such0")
    directory = ha_dir(tmp_path, lines)
    command = [str(Path(HAMGR).with_name("hamgrd")), "--ha-dir", str(directory), "--node", "here"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as daemon:
        try:
            assert daemon.stderr is not None
            said = daemon.stderr.readline()
            assert daemon.poll() is None
        finally:
            daemon.kill()
    assert "waiting for the network: " in said
    assert "no-such0 has none yet that would tell" in said
