"""A plugin that needs a package which nobody has."""

from __future__ import annotations

import a_package_that_is_not_there  # noqa: F401
