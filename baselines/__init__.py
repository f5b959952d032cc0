"""The contestants: a plugin package like any other, and the example to copy."""
