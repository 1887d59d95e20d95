"""How the page looks: theme, style sheet, icon."""

import gradio as gr


def make_theme() -> gr.themes.Base:
    # Names of fonts, not Gradio font objects: nothing is fetched, the reader's own fonts are used.
    sans = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif"]
    theme = gr.themes.Base(
        primary_hue="emerald", neutral_hue="stone", radius_size="lg", font=sans, font_mono=["ui-monospace", "monospace"]
    )
    return theme.set(
        body_background_fill="#f7f5f0",
        body_background_fill_dark="#161714",
        body_text_color="#26302b",
        body_text_color_dark="#e8e6df",
        body_text_color_subdued="#5d665f",
        body_text_color_subdued_dark="#a3a79d",
        block_background_fill="#fffefb",
        block_background_fill_dark="#1f211d",
        block_border_color="#e3dfd4",
        block_border_color_dark="#33362f",
        border_color_primary="#cfc9ba",
        border_color_primary_dark="#464a41",
        background_fill_primary="#fffefb",
        background_fill_primary_dark="#1f211d",
        background_fill_secondary="#f0ede4",
        background_fill_secondary_dark="#2a2d27",
        button_primary_background_fill="#2f5d4a",
        button_primary_background_fill_dark="#7fb79c",
        button_primary_background_fill_hover="#24493a",
        button_primary_background_fill_hover_dark="#96c9b0",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#11201a",
        color_accent="#2f5d4a",
        color_accent_soft="#e3ede6",
        color_accent_soft_dark="#26362e",
        link_text_color="#2f5d4a",
        link_text_color_dark="#9bcdb5",
    )


CSS = """
.gradio-container { padding: 0 !important; }
.gradio-container .main.fillable { max-width: 1040px; margin: 0 auto;
  padding: clamp(20px, 4vw, 44px) clamp(16px, 3vw, 28px) 16px; }
.gradio-container main, .gradio-container main > .column { width: 100%; }
.dark { --color-accent: #7fb79c; }
#headline, #answer, #bars, #why, #foot, #many-state, #many-table, #limits { overflow: visible !important; }
#headline .html-container, #foot .html-container, #rooms .html-container, #answer .html-container { padding: 0; }
#headline h1, #answer h2, #rooms .page-text h2 { font-family: Georgia, "Iowan Old Style", "Palatino Linotype",
  "Songti SC", "Noto Serif CJK SC", serif; font-weight: 600; color: var(--body-text-color); text-wrap: balance;
  overflow-wrap: anywhere; margin: 0; }
#headline h1 { font-size: clamp(1.5rem, 4vw, 2rem); line-height: 1.15; letter-spacing: -.01em; }
#rooms > .tab-wrapper { margin-bottom: 24px; height: 44px; padding: 0; }
#rooms .tab-container { height: 44px; }
#rooms .tab-container button { padding: 0 clamp(7px, 1.6vw, 14px); font-size: clamp(.9375rem, 4vw, 1rem);
  color: var(--body-text-color-subdued); }
#rooms .tab-container button:first-child { padding-left: 2px; }
#rooms .tab-container button.selected { color: var(--body-text-color); font-weight: 600; }
#rooms .tabitem { border: 0; padding: 0; background: none; }
#desk { gap: clamp(20px, 4vw, 44px); }
#picture { border-radius: 16px; }
#picture .source-selection { gap: 12px; height: 44px; }
#picture .source-selection .icon { width: 32px; height: 32px; padding: 6px; }
#picture.previewing::after { content: ""; position: absolute; inset: 0 0 44px; z-index: 5;
  background: var(--preview) center / contain no-repeat var(--background-fill-primary); }
#answer h2 { font-size: clamp(2rem, 6.5vw, 3.25rem); line-height: 1.08; letter-spacing: -.015em; }
#answer .whole { white-space: nowrap; }
#answer:has(> .own) > :not(.own), #desk:has(#answer > .own) :is(#bars, #ask-why, #why, #feedback) { display: none; }
#answer .hint h2, #answer .unsure h2 { font-size: clamp(1.6rem, 4.6vw, 2.25rem); line-height: 1.18; }
#answer p { margin: 12px 0 0; color: var(--body-text-color-subdued); font-size: 1.0625rem; line-height: 1.5; }
#answer .unsure h2 { border-left: 4px solid #c98a2b; padding-left: 16px; }
#bars ol { list-style: none; margin: 8px 0 0; padding: 0; display: grid; gap: 14px; }
#bars li { display: grid; grid-template-columns: 1fr auto; gap: 6px 12px; font-size: 1rem; margin: 0; }
#bars .name { overflow-wrap: anywhere; }
#bars .share { font-variant-numeric: tabular-nums; color: var(--body-text-color-subdued); }
#bars meter { grid-column: 1 / -1; width: 100%; height: 10px; border: 0; border-radius: 5px; appearance: none;
  --full: var(--color-accent); background: linear-gradient(var(--full) 0 0) 0 / var(--share) no-repeat
  var(--background-fill-secondary); }
#bars .strange meter { --full: #c98a2b; }
#bars meter::-webkit-meter-bar, #bars meter::-webkit-meter-optimum-value { background: none; border: 0; }
#bars meter::-moz-meter-bar { background: none; }
#ask-why { width: fit-content; flex: none; min-width: 0; border-radius: 999px; padding: 8px 20px;
  font-weight: 600; background: none; border: 1.5px solid var(--color-accent); color: var(--link-text-color); }
#desk:not(:has(#bars li)) :is(#ask-why, #feedback), #desk:has(#why .reasons) #ask-why { display: none; }
#why .reasons { margin-top: 12px; }
#why img { border-radius: 12px; display: block; width: auto; max-width: 100%; max-height: 400px; }
#why figure { margin: 0; }
#why figcaption, #why p { color: var(--body-text-color-subdued); font-size: .9375rem; line-height: 1.45;
  margin: 8px 0 0; }
#why > .html-container > * > .reasons > p { margin-top: 24px; }
#why ul.near { list-style: none; margin: 12px 0 0; padding: 0; display: grid; gap: 16px 12px;
  grid-template-columns: repeat(auto-fill, minmax(110px, 1fr)); }
#why .near li { margin: 0; }
#why .near img { width: 100%; aspect-ratio: 1; object-fit: cover; }
#why .near figcaption { font-size: .8125rem; overflow-wrap: anywhere; }
#why .near b { display: block; color: var(--body-text-color); font-weight: 600; }
#examples, #examples .gallery { overflow: visible !important; }
#examples .label svg { display: none; }
#examples .label { color: var(--body-text-color-subdued); font-size: .95rem; }
#examples .container.gallery { width: 92px; height: 92px; max-height: none; border-radius: 12px; }
#examples .gallery img { width: 100%; height: 100%; object-fit: cover; }
#limits p, #foot p { font-size: .875rem; color: var(--body-text-color-subdued); margin: 0; }
#foot { border-top: 1px solid var(--block-border-color); border-radius: 0; padding-top: 12px; margin-top: 12px; }
#foot code { font-size: .8125rem; }
#classify-all, #csv { max-width: 360px; border-radius: 12px; min-height: 46px; font-weight: 600; padding: 8px 24px; }
#csv { background: none; border: 1.5px solid var(--color-accent); color: var(--link-text-color); }
#many-state label { display: grid; gap: 8px; font-variant-numeric: tabular-nums; }
#many-state p { font-size: 1.125rem; margin: 0; }
#rooms progress { width: 100%; height: 10px; accent-color: var(--color-accent); }
#rooms .scroll { overflow-x: auto; margin-bottom: 12px; }
#rooms .scroll :is(table, thead, tbody, tr) { border: 0; background: none; }
#rooms .scroll table { border-collapse: collapse; width: 100%; font-size: .9375rem;
  font-variant-numeric: tabular-nums; }
#rooms .scroll :is(th, td) { text-align: left; padding: 10px 16px 10px 0; border: 0;
  border-bottom: 1px solid var(--block-border-color); vertical-align: top; background: none; }
#many-table thead th:first-child { width: 50%; }
#files .file-preview-holder { padding-top: 32px; }
#rooms .scroll thead th { color: var(--body-text-color-subdued); font-weight: 500; }
#rooms .scroll tbody th { font-weight: 400; overflow-wrap: anywhere; }
#rooms .scroll :is(.strange, .failed) td { color: var(--body-text-color-subdued); }
#rooms .page-text { max-width: 68ch; font-size: 1rem; line-height: 1.55; color: var(--body-text-color); }
#rooms .page-text h2 { font-size: 1.375rem; margin: 36px 0 10px; }
#rooms .page-text > h2:first-child, #rooms .page-text > section:first-child h2 { margin-top: 0; }
#rooms .page-text p { margin: 0 0 12px; }
#rooms .page-text section + p { margin-top: 24px; }
#rooms .page-text .lead { font-size: 1.125rem; }
#rooms .page-text code { font-size: .8125rem; overflow-wrap: anywhere; }
#rooms .snippet { position: relative; }
#rooms .snippet pre { overflow-x: auto; margin: 0; padding: 16px 16px 52px; border-radius: 12px; font-size: .8125rem;
  line-height: 1.5; background: var(--background-fill-secondary); border: 1px solid var(--block-border-color); }
#rooms .snippet pre code { overflow-wrap: normal; background: none; border: 0; padding: 0; white-space: pre; }
#rooms .snippet .copy { position: absolute; right: 10px; bottom: 10px; padding: 5px 14px; border-radius: 999px;
  font-size: .875rem; background: var(--background-fill-primary); border: 1px solid var(--border-color-primary);
  cursor: pointer; color: var(--body-text-color); }
.gradio-container :is(button, a, .scroll, pre):focus-visible {
  outline: 3px solid var(--color-accent) !important; outline-offset: 2px; }
@media (max-width: 640px) {
  #desk > .column { display: contents; }
  #examples { order: 9; margin-top: 12px; }
  #picture { height: 300px !important; }
}
.embed #headline, .embed #foot, .embed #examples, .embed #ask-why, .embed #why, .embed #feedback,
.embed #rooms > .tab-wrapper {
  display: none !important; }
.embed .gradio-container .main.fillable { padding: 12px; flex-grow: 0; max-width: 720px; }
.embed .gradio-container { flex-grow: 0 !important; min-height: 0 !important; }
.embed #desk { gap: 16px; }
.embed #answer h2 { font-size: clamp(1.6rem, 5vw, 2.25rem); }
.embed #picture { height: 280px !important; }
"""


ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="8" fill="#2f5d4a"/>
<circle cx="14" cy="14" r="6.5" fill="none" stroke="#f7f5f0" stroke-width="3"/>
<path d="M19 19l6 6" stroke="#f7f5f0" stroke-width="3" stroke-linecap="round"/></svg>"""
