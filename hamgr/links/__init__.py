"""Links carry sealed packets between nodes: UDP and gRPC streams."""
