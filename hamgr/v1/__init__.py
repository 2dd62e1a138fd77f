"""The protobuf and gRPC stubs, generated from `proto/` by `make stubs`; never edited by hand."""
