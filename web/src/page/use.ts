/** How to put the classifier on another page, and how to use it from programs: snippets to copy. */

import { escapeHtml } from "../escape.js";
import { make } from "./dom.js";
import { tell, type Language } from "./language.js";

interface Snippet {
  heading: string;
  text?: string;
  code: string;
}

/** Fill the room. `address` is that of the page's folder, with a slash at its end. */
export function showUse(room: HTMLElement, language: Language, address: string, title: string): void {
  const sections = snippets(address, escapeHtml(title)).map((snippet) => section(snippet, language));
  room.replaceChildren(make("div", { class: "page-text" }, ...sections));
}

function snippets(address: string, title: string): Snippet[] {
  return [
    {
      heading: "use_embed",
      text: "web_use_element_text",
      code: `<script type="module" src="${address}spotter.js"></script>\n<spotter-classifier></spotter-classifier>`,
    },
    {
      heading: "use_frame",
      text: "use_frame_text",
      code:
        `<iframe src="${address}?embed=1&amp;__theme=light" title="${title}" width="100%" height="560"\n` +
        `  style="width: 100%; height: 560px; border: 0" allow="camera; clipboard-read; clipboard-write" loading="lazy"></iframe>`,
    },
    {
      heading: "web_use_browser",
      code:
        `import { load } from "${address}spotter.js";\n\n` +
        `const spotter = await load("${address}");\n` +
        `const answer = await spotter.classify(file);  // a File or Blob\n` +
        `console.log(answer.label, answer.probabilities);`,
    },
    {
      heading: "web_use_node",
      text: "web_use_node_text",
      code:
        `// npm install sharp\nimport { readFile } from "node:fs/promises";\nimport { load } from "./spotter/spotter.js";\n\n` +
        `const spotter = await load();\n` +
        `const answer = await spotter.classify(await readFile("picture.jpg"));\n` +
        `console.log(answer.label, answer.probabilities);\nspotter.close();`,
    },
  ];
}

function section({ heading, text, code }: Snippet, language: Language): HTMLElement {
  const button = make("button", { type: "button", class: "copy" }, tell(language, "copy"));
  const name = tell(language, heading);
  button.addEventListener("click", () => void copy(button, code, language));
  return make(
    "section",
    {},
    make("h2", {}, name),
    text ? make("p", {}, tell(language, text)) : undefined,
    make("div", { class: "snippet" }, make("pre", { tabindex: 0, role: "group", "aria-label": name }, make("code", {}, code)), button),
  );
}

async function copy(button: HTMLButtonElement, code: string, language: Language): Promise<void> {
  try {
    await navigator.clipboard.writeText(code);
  } catch {
    // Not allowed: then it is selected, ready to be copied by hand.
    const lines = button.parentElement?.querySelector("code");
    if (lines) getSelection()?.selectAllChildren(lines);
    return;
  }
  button.textContent = tell(language, "copied");
  setTimeout(() => {
    button.textContent = tell(language, "copy");
  }, 2000);
}
