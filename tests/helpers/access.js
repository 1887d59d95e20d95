// Measures of a page, for access.py.
(() => {
const seen = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true });
const parse = (text) => { const n = (text.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number); return [...n.slice(0, 3), n[3] ?? 1]; };
const light = (rgb) => { const [r, g, b] = rgb.map((v) => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
  return .2126 * r + .7152 * g + .0722 * b; };
const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
const ground = (e) => {
  const layers = [];
  for (let at = e; at; at = at.parentElement) {
    const color = parse(getComputedStyle(at).backgroundColor);
    if (color[3] > 0) layers.push(color);
    if (color[3] === 1) break;
  }
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
};
const contrast = (color, below) => { const [a, b] = [light(over(color, below)), light(below)].sort((x, y) => y - x);
  return (a + .05) / (b + .05); };
const name = (e) => `${e.tagName.toLowerCase()}#${e.id}.${e.getAttribute("class") || ""} ` +
  (e.getAttribute("aria-label") || e.textContent.trim()).slice(0, 40);

const poor = () => {
  const found = [], note = (e, what, ratio, least) => {
    if (ratio < least) found.push([what, name(e), Math.round(ratio * 100) / 100]); };
  for (const e of document.querySelectorAll("body *")) {
    if (!seen(e) || e.closest("[disabled], .sr-only, svg *")) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const says = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (says) note(e, "text", contrast(parse(style.color), ground(e)), least);
    if (e.tagName === "svg") note(e.parentElement, "icon", contrast(parse(style.color), ground(e)), 3);
    for (const part of ["::before", "::after"]) {
      const own = getComputedStyle(e, part);
      if (/[\p{L}]/u.test(own.content) && own.content !== "none" && own.content !== "normal")
        note(e, part, contrast(parse(own.color), ground(e)), 4.5);
    }
    if (e.matches("input[type=radio], input[type=checkbox]")) {
      const edges = [style.borderTopColor, style.backgroundColor].map((c) => contrast(parse(c), ground(e.parentElement)));
      note(e, "control", Math.max(...edges), 3);
    }
  }
  return found;
};

const small = () => {
  const targets = "button, a[href], input, select, textarea, summary, [role=button], [role=tab], [tabindex='0']";
  const found = [];
  for (const e of document.querySelectorAll(targets)) {
    if (!seen(e)) continue;
    const box = (e.matches("input") && e.closest("label") || e).getBoundingClientRect();
    if (!box.width && !box.height) continue;
    if (box.width < 24 || box.height < 24) found.push([name(e), box.width, box.height]);
    if (!(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length || e.title || e.matches("pre, .scroll")))
      found.push([name(e), "has no name"]);
  }
  return found;
};

const spilled = () => {
  const roots = [document, ...[...document.querySelectorAll("*")].map((e) => e.shadowRoot).filter(Boolean)];
  const buttons = roots.flatMap((root) => [...root.querySelectorAll("button:not(.visually-hidden *), .second")]).filter(seen);
  return buttons.filter((e) => {
    const box = e.getBoundingClientRect(), range = document.createRange();
    range.selectNodeContents(e);
    const words = range.getBoundingClientRect(), around = e.closest("dialog, #tabs")?.getBoundingClientRect() ?? box;
    return words.left < box.left - 1 || words.right > box.right + 1 || words.top < box.top - 1 || words.bottom > box.bottom + 1 ||
      box.left < around.left - 1 || box.right > around.right + 1;
  }).map(name);
};

const ring = () => {
  const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect(), trouble = [];
  if (e === document.body) return null;
  const width = parseFloat(style.outlineWidth), offset = parseFloat(style.outlineOffset);
  if (style.outlineStyle === "none" || width < 2) trouble.push("no ring");
  const below = offset < 0 ? ground(e) : ground(e.parentElement);
  if (contrast(parse(style.outlineColor), below) < 3) trouble.push("a faint ring");
  const by = offset + width;
  const ring = [box.left - by, box.top - by, box.right + by, box.bottom + by];
  for (let at = e.parentElement; at && at !== document.body; at = at.parentElement) {
    const own = getComputedStyle(at), edge = at.getBoundingClientRect();
    const cut = (kind) => kind !== "visible";
    // What can be scrolled to is there; what is hidden is not.
    if (cut(own.overflowX) && (ring[0] < edge.left - .6 || ring[2] > edge.right + .6)) trouble.push(`cut off by ${name(at)}`);
    if (cut(own.overflowY) && (ring[1] < edge.top - .6 || ring[3] > edge.bottom + .6)) trouble.push(`cut off by ${name(at)}`);
  }
  if (ring[0] < 0 || ring[2] > innerWidth) trouble.push("beside the window");
  return [name(e), trouble];
};

window.access = { poor, small, spilled, ring };
})();
