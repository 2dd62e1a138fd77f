"""The configuration: one TOML file, validated into one model."""
