"""Published scores, by data set: TOML files."""
