"""The colours and fonts of the page, as a Gradio theme; the rest of how it looks is in `serve/static/page.css`."""

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
        checkbox_border_color="#6f776f",
        checkbox_border_color_dark="#9aa094",
        checkbox_border_color_hover="#2f5d4a",
        checkbox_border_color_hover_dark="#7fb79c",
        checkbox_border_color_focus="#2f5d4a",
        checkbox_border_color_focus_dark="#7fb79c",
        checkbox_background_color="#fffefb",
        checkbox_background_color_dark="#161714",
        checkbox_label_background_fill="#f0ede4",
        checkbox_label_background_fill_dark="#2a2d27",
        link_text_color="#2f5d4a",
        link_text_color_dark="#9bcdb5",
    )
