# Every target makes what it needs: `make test` and `make demo` work on a fresh Debian or Ubuntu machine.
PYTHON ?= python3
VENV ?= .venv
SEEDS ?= 300
SEED ?= 1

BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(PATH):/usr/sbin:/sbin
# Labs mostly wait: two at a time take half as long. What a busy machine made late is tried once more, and told of (R). A
# broken promise, two owners at once or an acknowledged row that is lost, fails the first time.
LAB_TESTS = $(BIN)/pytest tests/lab -n 2 --dist loadfile --reruns 1 --rerun-except BrokenPromise -raR
PROTO := proto/hamgr/v1/cluster.proto proto/hamgr/v1/arbiter.proto proto/hamgr/v1/admin.proto
PROTOC = PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto --python_out=$(1) --pyi_out=$(1) --grpc_python_out=$(1) \
  --mypy_grpc_out=quiet:$(1) $(PROTO)

NEED = missing=; need() { command -v "$$1" >/dev/null || missing="$$missing $$2"; }
define INSTALL
if [ -z "$$missing" ]; then :; \
elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
  echo "Installing system packages:$$missing"; \
  { apt-get -qq -o Acquire::Retries=3 update && \
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 install --no-install-recommends $$missing; } >/dev/null; \
else echo "Missing system packages, what needs them is skipped:$$missing"; fi
endef

.PHONY: all test test-vm lint stubs sim lab demo bench clean system system-vm
all: test

test: lint
	$(BIN)/pytest tests --ignore=tests/lab --ignore=tests/vm -n 2 --dist loadfile --reruns 1 -raR
	$(BIN)/python -m hamgr.sim --seeds $(SEEDS)
	$(LAB_TESTS)

# What no container can show: a kernel of its own with SCSI reservations, a watchdog, DRBD (tests/vm). Some minutes; not in `test`.
test-vm: $(READY) | system-vm
	$(BIN)/pytest tests/vm

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && $(call PROTOC,"$$fresh") && \
	  for stub in "$$fresh"/hamgr/v1/*; do \
	    cmp -s "$$stub" "hamgr/v1/$${stub##*/}" || { echo "hamgr/v1/$${stub##*/} is stale: run make stubs"; exit 1; }; \
	  done

stubs: $(READY)
	$(call PROTOC,.)

# One simulated universe: the same seed is the same run, event for event.
sim: $(READY)
	$(BIN)/python -m hamgr.sim --seed $(SEED)

# A cluster to play with; `make lab` again after `hamgr lab down`.
lab: $(READY)
	$(BIN)/hamgr lab up
	$(BIN)/hamgr lab status

demo: $(READY)
	$(BIN)/hamgr lab demo

bench: $(READY)
	$(BIN)/python bench/failover.py

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(READY): pyproject.toml | system
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "hamgr needs Python 3.11 to 3.13; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# What the lab and its tests need of the system. As root on Debian or Ubuntu it is installed, and said; elsewhere
# it is said, and the tests that need it are skipped by name. (RUNLEVEL=1: nginx is not started on this machine. Where
# systemd runs, no sshd and no second cluster manager are installed: they would be started one day.)
system:
	@$(NEED); \
	need ip iproute2; need nft nftables; need ipmi_sim openipmi; need ipmitool ipmitool; need nginx nginx-light; need haproxy haproxy; \
	need /usr/lib/ocf/resource.d/heartbeat/Dummy resource-agents; need drbdadm drbd-utils; need curl curl; need apache2 apache2-bin; need wget wget; need mkfs.ext4 e2fsprogs; need fuser psmisc; need modprobe kmod; \
	need mariadbd mariadb-server-core; need mariadb mariadb-client-core; \
	need ganesha.nfsd "nfs-ganesha nfs-ganesha-vfs"; need nfs-cp libnfs-utils; \
	need /lib/systemd/systemd systemd; need dbus-daemon dbus; \
	need unshare util-linux; need mount mount; need sfdisk fdisk; need ping iputils-ping; need setpriv util-linux; need xmllint libxml2-utils; \
	need socat socat; need strace strace; need faketime faketime; need sshfs sshfs; need fusermount3 fuse3; need /usr/lib/openssh/sftp-server openssh-sftp-server; \
	need ssh openssh-client; need fence_dummy fence-agents; need stonith cluster-glue; need xmllint libxml2-utils; \
	[ -d /run/systemd/system ] || { need sshd openssh-server; need etcd etcd-server; need etcdctl etcd-client; need stonith_admin pacemaker-cli-utils; }; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	$(INSTALL)

# The kernel itself, and a few programs, are only unpacked, by the tests (tests/vm/debian_kernel.py).
system-vm:
	@$(NEED); \
	need qemu-system-x86_64 qemu-system-x86; need busybox busybox-static; need depmod kmod; need sg_persist sg3-utils; need drbdadm drbd-utils; \
	need mkfs.ext4 e2fsprogs; \
	$(INSTALL)
