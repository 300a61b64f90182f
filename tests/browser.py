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


def use_page(page: Path, profile: Path) -> tuple[str, list[str]]:
    """As `open_page`, after a reader has touched everything on the page."""
    touched = profile.with_suffix(".html")
    touched.write_text(page.read_text(encoding="utf-8") + TOUCH_ALL, encoding="utf-8")
    return open_page(touched, profile)


def open_page(page: Path, profile: Path) -> tuple[str, list[str]]:
    """Return the page as drawn, and what was said on its console; `profile` is an empty folder."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", page.as_uri()]
    done = subprocess.run(command, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
