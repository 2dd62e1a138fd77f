# Every target makes what it needs. `make test` and `make demo` work on a fresh Debian or Ubuntu machine.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: stubs
stubs:
	PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto --python_out=. --pyi_out=. --grpc_python_out=. \
	  --mypy_grpc_out=. proto/hamgr/v1/cluster.proto proto/hamgr/v1/arbiter.proto proto/hamgr/v1/admin.proto
