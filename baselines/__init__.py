"""The contestants: a plugin package like anybody's, and the example to copy."""
