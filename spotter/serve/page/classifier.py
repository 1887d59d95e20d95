"""The page that visitors meet, as Gradio components."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from spotter.config import ServeConfig
from spotter.serve.about import about_html
from spotter.serve.page import html
from spotter.serve.page.gradio_io import browser_state, label_choices, page_text, yes_or_no
from spotter.serve.page.handlers import (
    batch_handler,
    classify_handler,
    example_handler,
    forget_handler,
    many_handler,
    page_handler,
    predict_handler,
    send_handler,
    sent_ids,
    why_handler,
)
from spotter.serve.page.rollout import stage_corner
from spotter.serve.page.script import gallery_script, snippet_script
from spotter.serve.page.snippets import element_snippet, frame_snippet, program_snippets
from spotter.serve.page.translations import LANGUAGES, as_message, messages, name_key, translate
from spotter.serve.service import AT_ONCE, ModelInfo, Service

_log = logging.getLogger(__name__)

CACHE_LIFE_S = 600


def classifier_page(service: Service, config: ServeConfig) -> gr.Blocks:
    """Build the page and the Gradio endpoints `/predict`, `/classify` and `/classify_batch`."""
    info = service.info
    texts = gr.I18n(**_messages(info, config))
    with _blank_page(info) as page:
        with gr.Tabs(elem_id="rooms"):
            with gr.Tab(page_text("tab_one"), id="one", elem_id="room-one"):
                _one_room(service, page)
            with gr.Tab(page_text("tab_many"), id="many", elem_id="room-many"):
                _many_room(service, config)
            if info.about:
                with gr.Tab(page_text("tab_about"), id="about", elem_id="room-about"):
                    gr.HTML(page_text("about_html"))
            with gr.Tab(page_text("tab_use"), id="use", elem_id="room-use"):
                gr.HTML(page_text("use_html"), js_on_load=snippet_script())
        gr.HTML(page_text("foot_html"), elem_id="foot")
        _add_endpoints(service, config)
    page.i18n_instance = texts
    return page


def problem_page(info: ModelInfo, problem: str) -> gr.Blocks:
    """Build a page that says why there is no model."""
    told = {language: {name_key("problem"): _problem(problem, language)} for language in LANGUAGES}
    with _blank_page(info) as page:
        gr.HTML(page_text("problem"), elem_id="answer")
    page.i18n_instance = gr.I18n(**told)
    return page


def _messages(info: ModelInfo, config: ServeConfig) -> dict[str, dict[str, str]]:
    limits = {
        "count": config.max_batch,
        "total": f"{config.max_batch_bytes / 1e6:g}",
        "each": f"{config.max_upload_bytes / 1e6:g}",
    }
    # Gradio translates a component's value as a whole, so what is one component is one text.
    tables = {}
    for language in LANGUAGES:
        pages = {
            "start_html": html.start(info, language),
            "limits_html": html.limits(info, language, **limits),
            "foot_html": html.foot(info, language),
            "use_html": html.use(program_snippets(), _embeds(info), language),
        }
        if info.examples:
            pages["examples_html"] = html.gallery(info, language)
        if info.about:
            pages["about_html"] = about_html(info.about, language)
        made = {name_key(key): as_message(markup) for key, markup in pages.items()}
        tables[language] = messages(language) | made | {name_key("consent"): html.consent(info, language)}
    return tables


def _embeds(info: ModelInfo) -> tuple[Any, ...]:
    return element_snippet(info.title), frame_snippet(info.title)


def _problem(problem: str, language: str) -> str:
    return as_message(html.words(translate("not_ready", language), problem))


@contextmanager
def _blank_page(info: ModelInfo) -> Iterator[gr.Blocks]:
    # Entered once: Gradio makes an app each time that a page is left.
    with gr.Blocks(title=info.title, analytics_enabled=False, delete_cache=(CACHE_LIFE_S, CACHE_LIFE_S)) as page:
        gr.HTML(html.headline(info), elem_id="headline")
        yield page


def _one_room(service: Service, page: gr.Blocks) -> None:
    info = service.info
    with gr.Row(elem_id="desk"):
        with gr.Column(min_width=300):
            picture = _picture_input()
            if info.examples:
                _add_examples(picture, info)
        with gr.Column(min_width=300):
            words = gr.HTML(page_text("start_html"), elem_id="answer")
            bars = gr.HTML("", elem_id="bars")
            ask = gr.Button(
                page_text("why"), elem_id="ask-why", visible=bool(info.options.explain or info.options.nearest)
            )
            reasons = gr.HTML("", elem_id="why")
            corner = stage_corner(service, page, picture, words, bars, reasons) if info.options.rollout else None
            if info.options.keep:
                _feedback_corner(service, picture)
    # preprocess=False: load_picture gets the file as it was sent; Gradio's own decoding would come first.
    picture.change(
        page_handler(service, corner),
        [picture],
        corner.outputs if corner else [words, bars, reasons],
        preprocess=False,
        postprocess=False,
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
        concurrency_id="inference",
        concurrency_limit=AT_ONCE,
    )
    ask.click(
        why_handler(service),
        [picture, corner.held] if corner else [picture],
        [reasons],
        preprocess=False,
        postprocess=False,
        show_progress="minimal",
        api_visibility="private",
        concurrency_id="why",
        concurrency_limit=1,
    )


def _feedback_corner(service: Service, picture: gr.Image) -> None:
    # In the visitor's browser: what the server remembers of a page is gone after a restart, or 200 others.
    sent = browser_state([], "feedback")
    # The style sheet shows each part when the one before it is answered.
    with gr.Column(elem_id="feedback"):
        right = gr.Radio(yes_or_no(), label=page_text("feedback"), elem_id="right")
        said = gr.Radio(label_choices(service.info.labels), label=page_text("it_is"), elem_id="said")
        consent = gr.Checkbox(label=page_text("consent"), value=False, elem_id="consent")
        send = gr.Button(page_text("send"), elem_id="send")
        told = gr.HTML("", elem_id="feedback-state")
        forget = gr.Button(page_text("forget"), visible=False, elem_id="forget")
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    send.click(
        send_handler(service),
        [picture, right, said, consent, sent],
        [told, sent, consent, forget],
        preprocess=False,
        **private,
    )
    forget.click(forget_handler(service), [sent], [told, sent, forget], **private)
    # Consent is for one picture.
    picture.change(
        lambda ids: (None, None, False, "", gr.update(visible=bool(sent_ids(ids)))),
        [sent],
        [right, said, consent, told, forget],
        **private,
    )


def _many_room(service: Service, config: ServeConfig) -> None:
    gr.HTML(page_text("limits_html"), elem_id="limits")
    files = gr.File(
        file_count="multiple",
        file_types=["image", ".zip"],
        label=page_text("files"),
        show_label=False,
        height=200,
        elem_id="files",
    )
    go = gr.Button(page_text("classify_all"), variant="primary", elem_id="classify-all")
    state = gr.HTML("", elem_id="many-state")
    csv = gr.DownloadButton(page_text("csv"), visible=False, elem_id="csv")
    table = gr.HTML("", elem_id="many-table")
    go.click(
        many_handler(service, config),
        [files],
        [state, table, csv],
        preprocess=False,
        show_progress="hidden",
        api_visibility="private",
        concurrency_id="batch",
        concurrency_limit=1,
    )


def _add_endpoints(service: Service, config: ServeConfig) -> None:
    # Components of their own: what is told about endpoints names them by their labels, and the page's are translated.
    picture = gr.Image(visible=False, label="picture", type="filepath")
    files = gr.File(visible=False, label="files", file_count="multiple")
    label, details = gr.Label(visible=False, label="answer"), gr.JSON(visible=False, label="answer")
    answers, table = gr.JSON(visible=False, label="answers"), gr.File(visible=False, label="table")
    one: dict[str, Any] = {
        "inputs": [picture],
        "preprocess": False,
        "postprocess": False,
        "concurrency_id": "inference",
        "concurrency_limit": AT_ONCE,
    }
    gr.on([], predict_handler(service), outputs=[label], api_name="predict", **one)
    gr.on([], classify_handler(service), outputs=[details], api_name="classify", **one)
    gr.on(
        [],
        batch_handler(service, config),
        inputs=[files],
        outputs=[answers, table],
        api_name="classify_batch",
        preprocess=False,
        concurrency_id="batch",
        concurrency_limit=1,
    )


def _picture_input() -> gr.Image:
    return gr.Image(
        type="filepath",
        sources=["upload", "webcam", "clipboard"],
        label=page_text("picture"),
        show_label=False,
        buttons=[],
        elem_id="picture",
        height=380,
        placeholder=page_text("drop"),
        # The rear camera of a phone; where there is one camera only, that one.
        webcam_options=gr.WebcamOptions(mirror=False, constraints={"video": {"facingMode": {"ideal": "environment"}}}),
    )


def _add_examples(picture: gr.Image, info: ModelInfo) -> None:
    # Exactly these files may be shown and classified in place, wherever the model is stored.
    gr.set_static_paths([path for path, _ in info.examples])
    gallery = gr.HTML(page_text("examples_html"), elem_id="examples", js_on_load=gallery_script())
    gallery.select(
        example_handler(info),
        [],
        [picture],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
