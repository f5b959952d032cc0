"""A script that was never meant to be imported."""

from __future__ import annotations

import sys

sys.exit("this is a script")
