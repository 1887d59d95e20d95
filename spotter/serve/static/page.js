// What the page does in the browser: the language, names for screen readers, paste, preview, height of a frame.
// `data` comes from the server: `texts` for each language, `names` (a selector and the key of its text), and `most`, the
// size in bytes of the largest file that is taken.
function startPage(data) {
  const own = window.__gradio_mode__ === "app";
  const language = document.documentElement.dataset.language || "en";
  const texts = data.texts[language] || data.texts.en, names = data.names;
  const root = document.querySelector("main.contain") || document.body;
  (own ? document.documentElement : root).lang = language;
  if (!own) root.closest(".gradio-container")?.classList.add("embed");

  // The wrappers stay while their content changes, which is what a screen reader needs to read the change out.
  // Piece by piece the page would jump while it grows; so it is seen when all that stands on it at the start is there.
  const parts = [...root.querySelectorAll("#headline, #picture, #examples, #answer, #foot")];
  const show = () => document.documentElement.classList.add("ready");
  const tend = () => {
    for (const id of ["answer", "many-state"]) {
      const live = document.getElementById(id);
      if (live && !live.hasAttribute("role")) {
        live.setAttribute("role", "status");
        live.setAttribute("aria-live", "polite");
      }
    }
    for (const [selector, key] of Object.entries(names))
      for (const button of root.querySelectorAll(selector)) {
        button.setAttribute("aria-label", texts[key]);
        if (button.title) button.title = texts[key];
      }
    // Gradio names these for screen readers, in other words than those that are to be seen.
    for (const button of root.querySelectorAll("button[aria-dropeffect][aria-label]"))
      if (button.textContent.trim()) button.removeAttribute("aria-label");
    for (const image of root.querySelectorAll("#picture img:not([alt]), #picture img[alt='']"))
      image.alt = texts.picture;
    if (root.querySelector("#picture .image-frame img")) unveil();
    if (root.querySelector("#answer h2, #answer p") && parts.every((part) => part.childElementCount)) show();
  };
  root.addEventListener("click", (event) => {
    const link = event.target.closest?.("#foot .languages a");
    if (!link || !own) return;
    event.preventDefault();
    // A browser may keep nothing for a page in a frame of another site; the address says it all the same.
    try { localStorage.setItem("spotter-language", link.lang); } catch { /* Then it is asked again next time. */ }
    const there = new URL(location.href);
    there.searchParams.set("lang", link.lang);
    location.assign(there);
  });
  let asked = 0;
  new MutationObserver(() => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(tend);
  }).observe(root, { childList: true, subtree: true });

  // What the page says of itself, where the answer will be, until there is one.
  const live = document.getElementById("answer");
  let own_words;
  const quiet = () => {
    own_words?.remove();
    own_words = undefined;
  };
  const tell = (kind, heading, more) => {
    quiet();
    own_words = document.createElement("div");
    own_words.className = `own ${kind}`;
    own_words.append(Object.assign(document.createElement("h2"), { textContent: heading }));
    if (more) own_words.append(Object.assign(document.createElement("p"), { textContent: more }));
    live?.append(own_words);
  };
  let waiting = false;
  for (const part of root.querySelectorAll("#answer .html-container, #bars .html-container"))
    new MutationObserver(() => {
      waiting = false;
      quiet();
    }).observe(part, { childList: true, characterData: true, subtree: true });
  root.addEventListener("click", (event) => {
    if (event.target.closest?.("#examples .gallery-item, #picture .button-wrap")) waiting = true;
  }, true);
  // Gradio tells in a corner, and soon no more, that there will be no answer; above it, that to another picture stays.
  const toast = "[data-testid=toast-body]";
  new MutationObserver((changes) => {
    const added = changes.flatMap((change) => [...change.addedNodes]);
    if (!waiting || !added.some((node) => node.querySelector?.(toast) || node.closest?.(toast))) return;
    waiting = false;
    unveil();
    tell("unsure", texts.no_answer, texts.try_again);
  }).observe(document.body, { childList: true, subtree: true });

  // A picture is shown while it travels.
  let shown = "", patience;
  const unveil = () => {
    document.getElementById("picture")?.classList.remove("previewing");
    if (!shown) return;
    URL.revokeObjectURL(shown);
    shown = "";
    // The same answer again changes nothing, and no answer neither.
    clearTimeout(patience);
    patience = setTimeout(() => { if (waiting) quiet(); }, 4000);
  };
  const preview = (file) => {
    const frame = document.getElementById("picture");
    if (!frame) return;
    unveil();
    shown = URL.createObjectURL(file);
    frame.style.setProperty("--preview", `url("${shown}")`);
    frame.classList.add("previewing");
    tell("hint", texts.looking);
    waiting = true;
    clearTimeout(patience);
    setTimeout(unveil, 20000);
  };
  // Not every browser can show what was given.
  for (const [kind, look] of [["error", "hidden"], ["load", ""]])
    root.addEventListener(kind, (event) => {
      if (event.target.matches?.("#picture img")) event.target.style.visibility = look;
    }, true);
  // Gradio would refuse it too, in English and in a corner.
  const take = (event, file) => {
    if (!file) return;
    const problem = !file.type.startsWith("image/") ? "not-a-picture" : file.size > data.most ? "file_too_large" : "";
    if (!problem) return preview(file);
    event.preventDefault();
    event.stopImmediatePropagation();
    unveil();
    tell("unsure", texts.unreadable, texts[problem]);
  };
  root.addEventListener("drop", (event) => {
    if (event.target.closest?.("#picture")) take(event, event.dataTransfer?.files[0]);
  }, true);
  document.addEventListener("change", (event) => {
    if (event.target.matches?.("#picture input[type=file]")) take(event, event.target.files[0]);
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
    const report = () => {
      const box = document.querySelector(".gradio-container .main");
      if (box) window.parent.postMessage({ spotterHeight: Math.ceil(box.getBoundingClientRect().height) }, "*");
    };
    new ResizeObserver(report).observe(root);
    report();
  }
  tend();
}
