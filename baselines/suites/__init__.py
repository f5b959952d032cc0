"""What a user runs by name: TOML files."""
