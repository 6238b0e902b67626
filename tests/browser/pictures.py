"""`make pictures`: every page of the console, as a desktop and as a phone show it, for `deploy/console.md`.

Run by pytest for its fixtures; named so that it is not one of the tests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.browser.conftest import Site, sign_in
from tests.browser.test_pages import DESKTOP, PHONE, addresses

FOLDER = Path("deploy/console")

ABOUT = """# The console, page by page

Made by `make pictures` from the scene that the browser's tests use: on a desktop in light colours, on a phone in dark.
"""

SIZES = {"desktop": DESKTOP, "phone": PHONE}


@pytest.mark.timeout(600)
def test_draw(chromium: Browser, site: Site) -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.png"):
        old.unlink()
    for name, size in SIZES.items():
        scheme = "dark" if name == "phone" else "light"
        context = chromium.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(f"{site.url}/sign-in")
        page.screenshot(path=FOLDER / f"sign-in-{name}.png")
        sign_in(page, site)
        for address in addresses(site):
            page.goto(site.url + address)
            page.screenshot(path=FOLDER / f"{named(address, site)}-{name}.png", full_page=name == "desktop")
        context.close()
    for picture in FOLDER.glob("*.png"):
        _make_small(picture)
    (FOLDER.parent / "console.md").write_text(_document(sorted(one.name for one in FOLDER.glob("*-desktop.png"))))


def _make_small(path: Path) -> None:
    """A screen has few colours: with a palette of them a picture takes a third of the bytes."""
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(128)
    few.save(path, optimize=True)


def _document(names: Sequence[str]) -> str:
    lines = [ABOUT]
    for name in names:
        page = name.removesuffix("-desktop.png")
        phone = f"{page}-phone.png"
        title = page.replace("-", " ").capitalize()
        lines.append(f"## {title}\n\n![{title}, on a desktop](console/{name})\n\n![On a phone](console/{phone})\n")
    return "\n".join(lines)


def named(address: str, site: Site) -> str:
    """`request`, `request-do`: the address without the ids in it."""
    address = address.partition("?")[0]
    kept = [part for part in address.strip("/").split("/") if part not in site.scene.ids.values()]
    is_one = len(kept) != len(address.strip("/").split("/"))
    words = "-".join(kept)
    return re.sub(r"^(\w+?)(ies|(?<=ch)es|s)?(-|$)", _singular, words) if is_one else words


def _singular(found: re.Match[str]) -> str:
    return found[1] + ("y" if found[2] == "ies" else "") + found[3]
