"""What the page does in the browser."""

import json

from spotter.snippets import ADDRESS
from spotter.translations import LANGUAGES, say

# Before anything is drawn, so that a frame never shows what it is to hide.
EMBED_HEAD = """<script>
if (new URLSearchParams(location.search).get("embed")) document.documentElement.classList.add("embed");
</script>"""

# Runs when the snippets appear: puts the address into them, and makes the buttons work.
ON_MOUNT = (
    """
const here = new URL(".", location.href).href.replace(/\\/$/, "");
for (const code of element.querySelectorAll("code")) code.textContent = code.textContent.replaceAll(ADDRESS, here);
for (const button of element.querySelectorAll(".copy")) {
  const told = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = told; }, 2000);
  });
}
"""
).replace("ADDRESS", json.dumps(ADDRESS))

# The keys of what Gradio says in English only, to screen readers, and where.
_NAMES = {
    '[aria-label="Upload file"]': "name_upload",
    '[aria-label="Capture from camera"]': "name_camera",
    '[aria-label="Paste from clipboard"]': "name_paste",
    '[aria-label="Remove Image"]': "name_remove",
    '[aria-label="capture photo"]': "name_capture",
}


def page_script() -> str:
    """What runs when the page is there: the language, names for screen readers, paste, preview, height of a frame."""
    keys = [*_NAMES.values(), "picture", "example"]
    texts = {language: {key: say(key, language) for key in keys} for language in LANGUAGES}
    return _SCRIPT.replace("TEXTS", json.dumps(texts, ensure_ascii=False)).replace("NAMES", json.dumps(_NAMES))


_SCRIPT = """() => {
  const own = window.__gradio_mode__ === "app";
  // The rule that Gradio goes by, and the server.
  const tag = (navigator.language || "en").toLowerCase();
  const language = ["zh-cn", "zh-tw"].includes(tag) ? "zh" : tag.split("-")[0] === "es" ? "es" : "en";
  const texts = TEXTS[language], names = NAMES;
  const root = document.querySelector("main.contain") || document.body;
  (own ? document.documentElement : root).lang = language;
  if (!own) root.closest(".gradio-container")?.classList.add("embed");

  // The wrappers stay while their content changes, which is what a screen reader needs to read the change out.
  const tend = () => {
    for (const id of ["answer", "many-state"]) {
      const live = document.getElementById(id);
      if (live && !live.hasAttribute("role")) {
        live.setAttribute("role", "status");
        live.setAttribute("aria-live", "polite");
      }
    }
    for (const [selector, key] of Object.entries(names))
      for (const button of root.querySelectorAll(selector)) button.setAttribute("aria-label", texts[key]);
    // Gradio names these for screen readers, in other words than those that are to be seen.
    for (const button of root.querySelectorAll("button[aria-dropeffect][aria-label]"))
      if (button.textContent.trim()) button.removeAttribute("aria-label");
    for (const image of root.querySelectorAll("#picture img:not([alt]), #picture img[alt='']"))
      image.alt = texts.picture;
    const labels = root.querySelector("[data-examples]")?.dataset.examples.split("\\n") || [];
    root.querySelectorAll("#examples .gallery-item").forEach((button, index) => {
      button.setAttribute("aria-label", `${texts.example}: ${labels[index] || index + 1}`);
    });
    if (root.querySelector("#picture .image-frame img")) unveil();
  };
  let asked = 0;
  new MutationObserver(() => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(tend);
  }).observe(root, { childList: true, subtree: true });

  // A picture is shown while it travels.
  let shown = "";
  const unveil = () => {
    document.getElementById("picture")?.classList.remove("previewing");
    if (shown) URL.revokeObjectURL(shown);
    shown = "";
  };
  const preview = (file) => {
    const frame = document.getElementById("picture");
    if (!frame || !file?.type.startsWith("image/")) return;
    unveil();
    shown = URL.createObjectURL(file);
    frame.style.setProperty("--preview", `url("${shown}")`);
    frame.classList.add("previewing");
    setTimeout(unveil, 20000);
  };
  root.addEventListener("drop", (event) => {
    if (event.target.closest?.("#picture")) preview(event.dataTransfer?.files[0]);
  }, true);
  document.addEventListener("change", (event) => {
    if (event.target.matches?.("#picture input[type=file]")) preview(event.target.files[0]);
  }, true);

  // Paste works anywhere on the page, not only by the button.
  if (own) document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files || [])].find((one) => one.type.startsWith("image/"));
    const target = root.querySelector("#picture .upload-container");
    if (!file || !target || target.offsetParent === null) return;
    event.preventDefault();
    const dropped = new DataTransfer();
    dropped.items.add(file);
    target.dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true }));
  });

  if (document.documentElement.classList.contains("embed") && window.parent !== window) {
    const tell = () => {
      const box = document.querySelector(".gradio-container .main");
      if (box) window.parent.postMessage({ spotterHeight: Math.ceil(box.getBoundingClientRect().height) }, "*");
    };
    new ResizeObserver(tell).observe(root);
    tell();
  }
  tend();
}"""
