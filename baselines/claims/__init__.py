"""What a verdict decides: TOML files."""
