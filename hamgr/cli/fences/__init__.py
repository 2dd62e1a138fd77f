"""`fence-test`: proves that the fence devices of the configuration work, before the disaster."""
