"""A console that answers on a port of its own, with a scene in its database; and a real browser."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from sqlalchemy.engine import Engine
from werkzeug.serving import make_server

from models.base import make_engine
from tests.browser.scene import Scene, make_scene
from tests.factory import KEYRING
from tests.integration.console import PASSWORD
from tests.receiver import receiver, settings_for

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

OTHER_UPSTREAMS = {
    "TRUNKLINE_TELMETRICS_TOKEN": "token",
    "TRUNKLINE_TELMETRICS_SUBSCRIPTION_KEY": "key",
    "TRUNKLINE_MESSAGEMEDIA_KEY": "key",
    "TRUNKLINE_MESSAGEMEDIA_SECRET": "secret",
}


@dataclass(frozen=True)
class Site:
    app: Flask
    engine: Engine
    url: str
    scene: Scene


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, sqlite_url: str, redis_url: str, tmp_path: Path) -> Iterator[Site]:
    more = OTHER_UPSTREAMS | {"TRUNKLINE_BROKER_URL": redis_url}
    settings = settings_for(monkeypatch, sqlite_url, str(tmp_path), **more)
    with receiver(settings, make_engine(sqlite_url, keyring=KEYRING)) as api:
        scene = make_scene(api.engine)
        server = make_server("127.0.0.1", 0, api.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Site(api.app, api.engine, f"http://127.0.0.1:{server.server_port}/console", scene)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            api.engine.dispose()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's, since Playwright's own is downloaded from elsewhere.

    It ends with this package: while it is there, an event loop of Playwright's counts as running in this thread, and no
    test elsewhere could run one.
    """
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        reason = "no Chromium here; on Debian: apt-get install chromium"
        pytest.fail(reason, pytrace=False) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context()
    yield context
    context.close()


def sign_in(page: Page, site: Site, name: str = "ann") -> Page:
    """As a person does: by keyboard."""
    page.goto(f"{site.url}/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/overview")
    return page


@pytest.fixture
def page(context: BrowserContext, site: Site) -> Page:
    """Signed in as `ann`, an admin."""
    return sign_in(context.new_page(), site)
