"""Samples that can be heard on the page."""

from __future__ import annotations

import base64

from markupsafe import Markup

from genbench import modalities
from genbench.api import Shown

EACH = 4
"""The most players of an entry."""
TEXT = 1_500_000
"""Characters of the players of all entries, of one seed each: as many of ``EACH`` as fit, the same
number of every entry whose samples are as long."""


def players(samples: Shown, label: str, entries: int) -> Markup:
    """A player for each of the first samples, with its sound in it, or a line that says that they
    are too long; nothing of samples that cannot be heard.

    ``label``: names the entry. ``entries``: so many share the page.
    """
    found = modalities.find(samples.spec)
    if found is None or found.player is None:
        return Markup("")
    left, made = TEXT // entries, Markup("")
    for number in range(min(EACH, len(samples.data))):
        one = Shown(samples.data[number : number + 1], samples.spec)
        data = base64.b64encode(found.player(one)).decode()
        left -= len(data)
        if left < 0:
            break
        made += Markup(
            '\n<div class="player"><span aria-hidden="true">{0}</span>'
            '<audio controls="" preload="metadata" aria-label="sample {0}: {1}" '
            'src="data:audio/wav;base64,{2}"></audio></div>'
        ).format(number + 1, label, data)
    return made or Markup('\n<p class="unheard">too long to be heard on this page</p>')
