// Runs in the head, before anything is drawn: the language, and what a page in a frame shows.
// `languages` comes from the server.
function startEarly(languages) {
  const here = new URL(location.href), asked = here.searchParams, root = document.documentElement;
  // A browser may keep nothing for a page in a frame of another site.
  const remembered = () => {
    try { return localStorage.getItem("spotter-language"); } catch { return null; }
  };
  const first = (navigator.language || "en").toLowerCase().split("-")[0];
  const language = [asked.get("lang"), remembered(), first].find((one) => languages.includes(one)) || "en";
  // What is sent with each question is the address's, so the server answers in the same language.
  if (language !== first || asked.has("lang")) asked.set("lang", language);
  // Gradio goes by the browser's language, and knows Chinese by these names alone.
  const known = language === "zh" ? "zh-CN" : language;
  Object.defineProperty(navigator, "language", { get: () => known, configurable: true });
  root.lang = root.dataset.language = language;
  if (asked.get("embed")) {
    root.classList.add("embed");
    // Whoever wrote the page around the frame chose its colours; what this visitor's system prefers may not fit them.
    if (!asked.get("__theme")) asked.set("__theme", "light");
  }
  const theme = asked.get("__theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  if (here.href !== location.href) history.replaceState(history.state, "", here);
}
