"""Parts of the page, and ways onto it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.browser.cards import AGENT
from tests.browser.standin import PASSWORD, StandIn

NAME = "Анна Петрова"


@asynccontextmanager
async def tab(context: BrowserContext) -> AsyncIterator[Page]:
    """A tab; anything it complains about (an exception, a refused script or style) fails the test."""
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console", lambda message: complaints.append(message.text) if _is_complaint(message.text) else None
    )
    yield page
    await page.close()
    assert complaints == []


def _is_complaint(text: str) -> bool:
    return "Content Security Policy" in text or "Uncaught" in text


async def sign_in(page: Page, server: StandIn, password: str = PASSWORD) -> None:
    await fill_in(page, server.url, AGENT["login"], password)


async def fill_in(page: Page, url: str, login: str, password: str) -> None:
    """Open the page and sign in by its form."""
    await page.goto(url)
    await page.get_by_label("Логин").fill(login)
    await page.get_by_label("Пароль").fill(password)
    await page.get_by_role("button", name="Войти").click()


async def open_desk(page: Page, server: StandIn, shows: str = "Ждём звонков") -> None:
    """The sign-in is there already, as after a reload."""
    session = json.dumps(json.dumps(server.session()))
    await page.add_init_script(f"sessionStorage['callcard.session'] ??= {session}")
    await page.goto(server.url)
    await expect(page.get_by_role("main")).to_contain_text(shows)


def card_of(page: Page, call_id: str = "main-1") -> Locator:
    return page.locator(f"article[data-call='{call_id}']")


def recent(page: Page) -> Locator:
    return page.get_by_role("complementary", name="Недавние звонки")


def bar(page: Page) -> Locator:
    return page.get_by_role("contentinfo", name="Текущий разговор")


def note_field(page: Page) -> Locator:
    return page.get_by_label("Заметка", exact=True)


# Walks the text of the page: texts whose contrast to the nearest opaque ground is below 4.5:1 (WCAG AA).
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const part = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const a = light(rgb(getComputedStyle(element).color));
    const b = light(ground(element));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${element.className || element.tagName}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""
