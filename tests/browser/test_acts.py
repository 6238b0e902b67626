"""What a person does in the console, by mouse and by keyboard, in a real browser."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from models import heartbeat
from models.base import utc_now, write
from models.state import State
from models.transition import Move, transition
from tests.browser.conftest import Site, sign_in
from tests.factory import fetch
from worker.relay import HEARTBEAT


def test_a_stuck_request_is_found_by_its_number_explained_and_settled(site: Site, page: Page) -> None:
    page.get_by_role("searchbox", name="Find a request").fill("dealer-17")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("dealer-17")
    expect(page.get_by_text("Nothing, until a person decides")).to_be_visible()
    page.get_by_role("link", name="Settle as completed").click()
    page.get_by_label("Number that it got").fill("(02) 8074 0899")
    page.get_by_label("Why").fill("seen in the portal")
    page.get_by_label("Type dealer-17 to confirm").fill("dealer-17")
    page.get_by_role("button", name="Settle as completed").click()
    expect(page.get_by_role("status")).to_contain_text("The request is completed")
    row = fetch(site.engine, site.scene.held)
    assert (row.state, row.number, row.detail) == (State.COMPLETED, "+61280740899", "seen in the portal")


def test_a_number_written_with_spaces_leads_to_its_request(page: Page) -> None:
    page.get_by_role("searchbox", name="Find a request").fill("02 8074 0801")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("dealer-16")


def test_a_request_moves_on_the_page_without_a_click(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/requests/{site.scene.held}")
    moves = [Move(site.scene.held, State.COMPLETED, "avanser", changes={"number": "+61280740899"})]
    write(site.engine, lambda session: transition(session, moves, utc_now()))
    expect(page.get_by_text("held → completed")).to_be_visible(timeout=10_000)


def test_the_overview_says_what_wants_a_person_and_leads_there(site: Site, page: Page) -> None:
    page.get_by_role("link", name=re.compile("held for a person to decide")).click()
    expect(page.get_by_role("link", name="dealer-17")).to_be_visible()
    write(site.engine, lambda session: heartbeat.beat(session, HEARTBEAT, utc_now().replace(year=2020)))
    page.goto(f"{site.url}/overview")
    expect(page.locator(".wants li").first).to_contain_text("No worker has been heard of")


def test_all_of_it_works_without_javascript(chromium: Browser, site: Site) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = sign_in(context.new_page(), site, "bob")
    page.get_by_role("searchbox", name="Find a request").fill("dealer-17")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Look at it now").click()
    expect(page.get_by_role("status")).to_contain_text("Done: look at it now")
    context.close()


def test_a_page_can_be_walked_by_keyboard_alone(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
