"""The page that teaches in Firefox, which is driven by a page around it."""

import re
import shutil
from pathlib import Path

import pytest

from spotter.web.browser import Browser, running
from tests.helpers.site import serving_site

FIREFOX = shutil.which("firefox") or shutil.which("firefox-esr")
# Others may use the machine meanwhile.
LONG_S = 400
# Clicks as a visitor does, and tells what it saw.
DRIVE = b"""<!doctype html><meta charset=utf-8><title>Around it</title>
<iframe src="teach/?lang=en" width=1200 height=800></iframe>
<script type=module>
const frame = document.querySelector("iframe");
const find = (selector) => frame.contentDocument.querySelector(selector);
const text = (selector) => find(selector)?.innerText ?? "";
const wait = async (what, ready) => {
  for (let tries = 0; tries < 3600; tries++) {
    const found = ready();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} is missing: ${find("#loading").outerHTML} ${text("#said")} ${text("#learnt")}`);
};
const tell = (told) => fetch("told", { method: "POST", body: JSON.stringify(told) });
try {
  await wait("the page", () => find("#loading.done"));
  find("#bears").click();
  await wait("the bears", () => text("#said").includes("Added: "));
  const said = text("#said");
  find("#learn").click();
  await wait("what was learnt", () => find("#take") && !find("#take").hidden);
  const picture = await (await fetch("teach/drawn/teddy-01.webp")).blob();
  const chosen = new DataTransfer();
  chosen.items.add(new File([picture], "teddy.webp", { type: "image/webp" }));
  find("#try-input").files = chosen.files;
  find("#try-input").dispatchEvent(new Event("change"));
  await wait("an answer", () => find("#bars meter"));
  find("#site-zip").click();
  await wait("a site", () => / is ready/.test(text("#packed")));
  const learnt = text("#learnt"), answer = text("#answer h2"), packed = text("#packed");
  await tell({ agent: navigator.userAgent, said, learnt, answer, packed });
} catch (error) {
  await tell({ error: String(error) });
}
</script>
"""


@pytest.mark.slow
@pytest.mark.skipif(not FIREFOX, reason="Firefox is not on this machine")
def test_bears_are_taught_tried_and_taken_away(small_site: Path) -> None:
    with serving_site(small_site) as server:
        server.replies["drive.html"] = DRIVE
        with running(Browser(str(FIREFOX)), server.url("drive.html")):
            told = server.told.get(timeout=LONG_S)
    assert "error" not in told, told
    assert "Firefox/" in told["agent"]
    assert "Added: 48." in told["said"]
    assert re.search(r"Wrong: \d+ of 48 ", told["learnt"])
    assert re.match("Grizzly|Teddy|Not sure", told["answer"])
    assert re.search(r"\.zip is ready", told["packed"])
