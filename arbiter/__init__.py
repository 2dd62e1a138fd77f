"""The arbiter: one durable vote a cluster, to break ties."""
