"""The auditors' portal as a person uses it, in headless Chromium, from a folder.

Promises: every wait is bounded; whatever the browser complains of, or asks the network for, is kept.
"""

import re
from datetime import datetime
from pathlib import Path

from playwright.sync_api import Browser, Page

from muster.portal.model import PortalData
from muster.portal.page import render_portal
from tests.unit.portal_samples import NOW

DESK, TABLET, HAND = ({"width": width, "height": 900} for width in (1280, 768, 390))
SHOWN = re.compile(r"^(?:All of )?([\d,]+)")
CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (color) => rgb(color).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const groundOf = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const { backgroundColor } = getComputedStyle(each);
      if (rgb(backgroundColor)[3] === 255) return backgroundColor;
    }
    return "white";
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim().slice(0, 40);
    if (!text || !element.checkVisibility() || element.closest("[aria-disabled=true]")) continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(element.closest("svg") ? style.fill : style.color), light(groundOf(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    found.push([Math.round(ratio * 100) / 100, parseFloat(style.fontSize), text]);
  }
  return found;
}"""
"""Of every visible text: its contrast by WCAG 2.2, its size in pixels, and how it begins."""


def write(data: PortalData, folder: Path) -> Path:
    """The portal as a folder store has it; its page."""
    for key, content in render_portal(data).items():
        file = folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder / "portal" / "index.html"


class Portal:
    """One page in the browser, and all that it complained of or asked the network for."""

    def __init__(self, browser: Browser, file: Path, fragment: str = "", at: datetime = NOW, **context: object) -> None:
        self.page: Page = browser.new_context(**{"viewport": DESK} | context).new_page()  # type: ignore[arg-type]
        self.complaints: list[str] = []
        self.page.set_default_timeout(60_000)
        self.page.clock.set_fixed_time(at)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda asked: self.complaints.append(asked.url) if "http" in asked.url[:5] else None)
        self.page.goto(file.as_uri() + fragment, wait_until="load")
        if context.get("java_script_enabled", True):
            self.settle()

    def settle(self) -> None:
        """Until the parts that are drawn in the next frame are."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def choose(self, label: str, value: str) -> None:
        field = self.page.get_by_label(label, exact=True)
        if field.evaluate("element => element.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
        self.settle()

    def shown(self) -> int:
        """How many slots are shown, as it says."""
        found = SHOWN.match(self.page.locator("#told").inner_text())
        assert found is not None
        return int(found[1].replace(",", ""))

    def column(self, label: str) -> list[str]:
        return [" ".join(text.split()) for text in self.page.locator(f'#rows [data-label="{label}"]').all_inner_texts()]

    @property
    def overflow(self) -> int:
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def focused(self) -> str:
        return str(self.page.evaluate("document.activeElement.id || document.activeElement.outerHTML.slice(0, 120)"))

    def close(self) -> None:
        self.page.context.close()
