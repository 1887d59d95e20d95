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
.gradio-container .main.fillable { max-width: 960px; margin: 0 auto; padding: 40px 24px 16px; }
.gradio-container main, .gradio-container main > .column { width: 100%; }
.dark { --color-accent: #7fb79c; }
#headline, #answer { overflow: visible !important; }
#headline .html-container, #answer .html-container { padding: 0; }
#headline h1, #answer h2 { font-family: Georgia, "Iowan Old Style", "Palatino Linotype", serif; font-weight: 600;
  color: var(--body-text-color); text-wrap: balance; overflow-wrap: anywhere; margin: 0; }
#headline h1 { font-size: clamp(1.75rem, 5vw, 2.5rem); line-height: 1.15; letter-spacing: -.01em; }
#answer h2 { font-size: clamp(1.4rem, 4vw, 1.75rem); line-height: 1.2; }
#answer p { margin: 8px 0 0; color: var(--body-text-color-subdued); font-size: 1rem; line-height: 1.5; }
#answer .html-container > * > div { border-left: 4px solid var(--border-color-primary); padding: 4px 0 4px 16px; }
#answer .html-container .sure { border-color: var(--color-accent); }
#answer .html-container .unsure { border-color: #c98a2b; }
#desk { gap: 28px; }
#picture { border-radius: 16px; }
#ask { border-radius: 12px; min-height: 46px; font-weight: 600; }
#bars, #bars .container { padding: 0; }
#bars:has(.empty) { display: none; }
#bars .confidence-set { font-family: var(--font); padding: 0; cursor: default; }
#bars .bar { height: 10px; border-radius: 5px; background: var(--color-accent) !important; }
#bars .bar::-webkit-meter-bar, #bars .bar::-webkit-meter-optimum-value { background: none; border: 0; }
#bars .bar::-moz-meter-bar { background: none; }
#bars .confidence-set:not(:first-of-type) .bar { opacity: .45; }
#bars .line { border: 0; }
#bars .text, #bars .confidence { font-size: .95rem; font-variant-numeric: tabular-nums; }
#examples .label svg { display: none; }
#examples .label { color: var(--body-text-color-subdued); font-size: .95rem; }
#examples .container.gallery { width: 96px; height: 96px; max-height: none; border-radius: 12px; }
#examples .gallery img { width: 100%; height: 100%; object-fit: cover; }
#about { border-top: 1px solid var(--block-border-color); border-radius: 0; padding-top: 12px; }
#about p { font-size: .875rem; color: var(--body-text-color-subdued); }
@media (max-width: 640px) {
  .gradio-container .main.fillable { padding: 20px 16px 12px; }
  #desk { gap: 16px; }
  #picture { height: 270px !important; }
  #examples .container.gallery { width: 76px; height: 76px; }
}
"""


ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="8" fill="#2f5d4a"/>
<circle cx="14" cy="14" r="6.5" fill="none" stroke="#f7f5f0" stroke-width="3"/>
<path d="M19 19l6 6" stroke="#f7f5f0" stroke-width="3" stroke-linecap="round"/></svg>"""
