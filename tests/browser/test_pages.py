"""Every page of the console in a real browser: it loads, fits a phone, reads in the dark, and axe finds no fault."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Response

from tests.browser.conftest import Site, sign_in

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

GRAVE = {"serious", "critical"}

_VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")

NOT_PAGES = re.compile(r"/(assets|sign-in)\b|<path:|results\.|/$")


ASKED = {"/sweeps/new": "?act=resolve_failed&state=held"}
"""What a page must be asked, that shows nothing otherwise."""


def addresses(site: Site) -> Iterator[str]:
    """Every page that there is, about what stands in the scene."""
    for rule in site.app.url_map.iter_rules():
        if not rule.endpoint.startswith("console.") or "GET" not in (rule.methods or ()) or NOT_PAGES.search(rule.rule):
            continue
        missing = [name for name in _VARIABLE.findall(rule.rule) if name not in site.scene.ids]
        assert not missing, f"say in the scene what stands for {missing} of {rule.rule}"
        address = _VARIABLE.sub(lambda found: site.scene.ids[found[1]], rule.rule).removeprefix("/console")
        yield address + ASKED.get(address, "")


def troubles(page: Page) -> list[str]:
    """What the browser complains of, as it comes."""
    found: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            found.append(f"{page.url}: {message.text}")

    def look(response: Response) -> None:
        if response.status >= 400:
            found.append(f"{response.status} at {response.url}")

    page.on("console", hear)
    page.on("pageerror", lambda error: found.append(f"{page.url}: {error}"))
    page.on("response", look)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_loads_fits_and_is_accessible(
    chromium: Browser, site: Site, size: dict[str, int], scheme: str
) -> None:
    context = chromium.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    try:
        page = context.new_page()
        found = troubles(page)
        sign_in(page, site)
        for address in addresses(site):
            page.goto(site.url + address)
            too_wide = page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth")
            if too_wide > 0:
                found.append(f"{address}: {too_wide} px too wide")
            for violation in Axe().run(page).response["violations"]:
                if violation["impact"] in GRAVE:
                    nodes = [node["html"][:120] for node in violation["nodes"][:3]]
                    found.append(f"{address}: {violation['id']} ({violation['help']}) {nodes}")
    finally:
        context.close()
    assert found == []


def test_the_form_to_sign_in_is_accessible(chromium: Browser, site: Site) -> None:
    page = chromium.new_page(viewport=PHONE)  # type: ignore[arg-type]
    page.goto(f"{site.url}/sign-in")
    assert [one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in GRAVE] == []
    page.close()
