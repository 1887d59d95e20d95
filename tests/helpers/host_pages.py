"""Pages of other sites that somebody puts the app on, with rules as common site software writes them."""

# Each sets what an embed could be harmed by, or could harm: margins, line height, root size, rules for frames.
STYLES = {
    "wordpress": """
        body { margin: 0; padding: 24px; font: 18px/1.7 Georgia, serif; color: #222; background: #fff; }
        .wp-site-blocks > * + * { margin-block-start: 24px; }
        .entry-content { max-width: 650px; margin: 0 auto; }
        .entry-content iframe, .entry-content embed { max-width: 100%; height: auto; }
        .entry-content a { color: #b22; text-decoration: underline dotted; }
        button { border-radius: 0; text-transform: uppercase; background: #b22; color: #fff; }
    """,
    "ghost": """
        *, *::before, *::after { box-sizing: border-box; }
        html { font-size: 62.5%; } body { margin: 0 0 3vmin; font: 1.6rem/1.6em sans-serif; background: #fff; }
        .entry-content { display: grid; grid-template-columns: [full] minmax(4vmin, auto) [main] min(720px, 92%)
          [end] minmax(4vmin, auto); }
        .entry-content > * { grid-column: main / end; min-width: 0; } .entry-content > * + * { margin-top: 3.2rem; }
        iframe { width: 100% !important; height: 200px !important; border: 4px solid red !important; }
    """,
    "plain": """
        * { margin: 0; padding: 0; font: inherit; line-height: 1; } ul { list-style: none; }
        img, iframe { display: inline; opacity: .3; filter: invert(1); } h2, p { color: inherit; }
        body { padding: 1em; background: #111; color: #eee; }
    """,
}

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>My blog</title>
<meta name="viewport" content="width=device-width"><style>{style}</style></head><body><div class="wp-site-blocks">
<header><h1>My blog</h1><ul><li><a href="#">Home</a></li></ul></header>
<article class="entry-content"><h2>A post</h2><p>Some words, <a href="#x">a link</a> and <button>a button</button>.</p>
{embed}<p>And what comes after, <em>in words</em>.</p></article></div></body></html>"""

# What a page looks like: every computed value of every element that is the author's own, but those that follow from how
# high the embed is; and where it stands, from left to right. As text, as each value would travel by itself.
LOOK = """() => JSON.stringify([...document.querySelectorAll("html, body, body *")]
  .filter((element) => !element.closest("spotter-app, iframe, script"))
  .map((element) => {
    const style = getComputedStyle(element), box = element.getBoundingClientRect(), values = {};
    for (const name of style)
      if (!/^(height|block-size|perspective-origin|transform-origin|grid-template-rows)$/.test(name))
        values[name] = style.getPropertyValue(name);
    return [element.tagName, element.getAttributeNames(), values, Math.round(box.left), Math.round(box.width)];
  }))"""


def host_page(kind: str, embed: str = "") -> bytes:
    """A page of another site with `embed` between its paragraphs."""
    return PAGE.format(style=STYLES[kind], embed=embed).encode()
