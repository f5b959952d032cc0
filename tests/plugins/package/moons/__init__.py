"""Two moons for genbench."""
