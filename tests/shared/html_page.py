"""A page as a browser sees it, without one."""

from __future__ import annotations

import base64
import io
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
from PIL import Image

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """A page as a browser sees it: its tags balanced, its addresses and its texts."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.addresses: list[str] = []
        self.identifiers: Counter[str] = Counter()
        self.references: set[str] = set()
        self.labels: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.pictures: dict[str, np.ndarray] = {}
        """By what they say aloud, their pixels."""
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # The name of a mark in a figure is no title of the page.
        self.tags["name" if tag == "title" and "svg" in self.open else tag] += 1
        for name, value in attrs:
            assert value is not None
            assert not name.startswith("on"), "no inline handlers"
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                self.addresses.append(value)
            if name == "id":
                self.identifiers[value] += 1
            if name in ("alt", "aria-label"):
                self.labels.append(value)
            self.references |= set(re.findall(r"url\(#([^)]*)\)", value))
            if tag == "use" and name == "href":
                self.references.add(value.removeprefix("#"))
        given = dict(attrs)
        if tag == "img":
            data = base64.b64decode((given["src"] or "").removeprefix("data:image/png;base64,"))
            self.pictures[given["alt"] or ""] = np.asarray(Image.open(io.BytesIO(data)))
        if tag in ("img", "svg"):
            assert {"alt", "aria-label"} & {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without <{tag}>"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())
