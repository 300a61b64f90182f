"""A real browser for tests of pages: headless Chromium, offline."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--enable-logging=stderr",
    "--host-resolver-rules=MAP * 0.0.0.0",  # every address leads nowhere: a page must be whole
    "--virtual-time-budget=10000",
    "--dump-dom",
)
# Every tab is opened, every heading clicked twice and every search used: a page draws and sorts
# only what a reader asks for, and what fails there says so on the console.
TOUCH_ALL = """<script>
for (const tab of [null, ...document.querySelectorAll("nav button")]) {
  tab?.click();
  const section = document.querySelector("section:not([hidden])");
  section.querySelectorAll("thead button").forEach(head => { head.click(); head.click(); });
  section.querySelectorAll("input[type=search]").forEach(input => {
    input.value = "7"; input.dispatchEvent(new Event("input")); });
}
</script>"""
needs_chromium = pytest.mark.skipif(
    not CHROMIUM, reason="needs chromium (apt-get install chromium)"
)


def open_page(page: str, folder: Path, ignored: str = "\n") -> str:
    """The page as drawn. What is said on its console, but lines with `ignored`, is a failure."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", file.as_uri()]
    done = subprocess.run(command, text=True, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert [line for line in said if ignored not in line] == []
    return done.stdout


def use_page(page: str, folder: Path) -> str:
    """The same after a reader has touched everything on it."""
    return open_page(page + TOUCH_ALL, folder)
