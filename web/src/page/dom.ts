/** Elements, made in one expression. Nothing here reads HTML, so no text of a model or a visitor can become any. */

type Child = Node | string | undefined;

/** Make an element with attributes (false: left out, true: without a value) and children. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number | boolean | undefined> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** The one element of a part that a selector means. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- as `querySelector` has it
export function find<T extends Element = HTMLElement>(root: ParentNode, selector: string): T {
  const found = root.querySelector<T>(selector);
  if (!found) throw new Error(`The page has no ${selector}.`);
  return found;
}

/** A link to another site; the words alone where the address is none of the web: nothing but a page may hide behind it. */
export function webLink(words: string, address: string): Node {
  return words && siteOf(address)
    ? make("a", { href: address, target: "_blank", rel: "noopener nofollow" }, words)
    : document.createTextNode(words);
}

/** The site that an address is on; "" where it is no address of the web. */
export function siteOf(address: string): string {
  if (!/^https?:\/\//i.test(address) || !URL.canParse(address)) return "";
  return new URL(address).host;
}
