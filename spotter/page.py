"""The page that visitors meet, and its Gradio endpoints."""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from spotter.errors import BadPicture
from spotter.predictor import Prediction
from spotter.service import AT_ONCE, Answer, ModelInfo, Service, full_payload, label_payload

MAX_BARS = 5
CACHE_LIFE_S = 600


def classifier_page(service: Service) -> gr.Blocks:
    info = service.info
    with _blank_page(info) as page:
        with gr.Row(elem_id="desk"):
            with gr.Column(min_width=300):
                picture = _picture_input()
                button = gr.Button("What is it?", variant="primary", elem_id="ask")
            with gr.Column(min_width=300):
                words = gr.HTML(_say("Give me a picture", _knows(info.labels)), elem_id="answer")
                bars = gr.Label(
                    {},
                    label="How sure, for each",
                    show_label=False,
                    show_heading=False,
                    container=False,
                    elem_id="bars",
                )
        if info.examples:
            _add_examples(picture, info)
        gr.Markdown(_footer(info), elem_id="about")
        details = gr.JSON(visible=False)

        show = _page_handler(service)
        inference: dict[str, Any] = {"concurrency_id": "inference", "concurrency_limit": AT_ONCE}
        # preprocess=False: load_picture gets the file as it was sent; Gradio's own decoding would come first.
        raw: dict[str, Any] = {"inputs": [picture], "preprocess": False, "postprocess": False}
        gr.on(
            [picture.change, button.click],
            show,
            outputs=[words, bars],
            show_progress="hidden",
            trigger_mode="always_last",
            api_visibility="private",
            **raw,
            **inference,
        )
        gr.on([], _predict_handler(service), outputs=[bars], api_name="predict", **raw, **inference)
        gr.on([], _classify_handler(service), outputs=[details], api_name="classify", **raw, **inference)
    return page


def problem_page(info: ModelInfo, problem: str) -> gr.Blocks:
    with _blank_page(info) as page:
        gr.HTML(_say("Not ready", problem), elem_id="answer")
    return page


def _blank_page(info: ModelInfo) -> gr.Blocks:
    page = gr.Blocks(title=info.title, analytics_enabled=False, delete_cache=(CACHE_LIFE_S, CACHE_LIFE_S))
    with page:
        gr.HTML(f"<h1>{html.escape(info.title)}</h1>", elem_id="headline")
    return page


def _picture_input() -> gr.Image:
    return gr.Image(
        type="filepath",
        sources=["upload", "webcam", "clipboard"],
        label="Picture",
        show_label=False,
        buttons=[],
        elem_id="picture",
        height=340,
        placeholder="Drop a picture here\nor choose one",
        webcam_options=gr.WebcamOptions(mirror=False),
    )


def _add_examples(picture: gr.Image, info: ModelInfo) -> None:
    paths = [path for path, _ in info.examples]
    # Exactly these files may be shown and classified in place, wherever the model is stored.
    gr.set_static_paths(paths)
    gr.Examples(
        [[path] for path in paths],
        inputs=[picture],
        label="Or try one of these",
        examples_per_page=12,
        cache_examples=False,
        api_visibility="private",
        elem_id="examples",
    )


def _page_handler(service: Service) -> Callable[..., Any]:
    async def show(payload: dict[str, Any] | None) -> tuple[str, dict[str, Any]]:
        if not payload:
            return _say("Give me a picture", _knows(service.info.labels)), {}
        try:
            answer = await service.classify(_path_in(payload, service.info))
        except BadPicture as error:
            # Said where the answer would be: a passing toast would leave the answer for the picture before.
            return _say("I cannot read that", str(error), kind="unsure"), {}
        return _in_words(answer.prediction), label_payload(answer.prediction, MAX_BARS)

    return show


def _predict_handler(service: Service) -> Callable[..., Any]:
    async def predict(picture: dict[str, Any] | None) -> dict[str, Any]:
        """Classify a picture. `label` is "not sure" when it is unlike the pictures the model learned from."""
        return label_payload((await _classify_or_say_why(service, picture)).prediction)

    return predict


def _classify_handler(service: Service) -> Callable[..., Any]:
    async def classify(picture: dict[str, Any] | None) -> dict[str, Any]:
        """Classify a picture and tell everything: probabilities, familiarity, revision and timings."""
        return full_payload(await _classify_or_say_why(service, picture), service.info)

    return classify


async def _classify_or_say_why(service: Service, payload: dict[str, Any] | None) -> Answer:
    try:
        return await service.classify(_path_in(payload, service.info))
    except BadPicture as error:
        raise gr.Error(str(error), print_exception=False) from error


def _path_in(payload: dict[str, Any] | None, info: ModelInfo) -> Path:
    # Gradio checks paths only in payloads that call themselves files, so whoever leaves that out could name any file.
    path = Path(payload.get("path") or "" if payload else "").resolve()
    uploads = Path(get_upload_folder()).resolve()
    if not path.is_file() or not (
        path.is_relative_to(uploads) or path in {Path(p).resolve() for p, _ in info.examples}
    ):
        raise BadPicture("empty", "There is no picture: upload one first.")
    return path


def _in_words(prediction: Prediction) -> str:
    if not prediction.familiar:
        closest = f"If it is one of these after all, the closest is {prediction.label}."
        return _say("Not sure: this looks unlike the pictures I learned from", closest, kind="unsure")
    percent = 100 * prediction.probabilities[prediction.label]
    sure = "over 99" if percent >= 99.5 else f"{percent:.0f}"
    return _say(f"{prediction.label[:1].upper()}{prediction.label[1:]}, {sure} % sure", kind="sure")


def _say(headline: str, more: str = "", kind: str = "hint") -> str:
    second = f"<p>{html.escape(more)}</p>" if more else ""
    return f'<div class="{kind}"><h2>{html.escape(headline)}</h2>{second}</div>'


def _knows(labels: tuple[str, ...]) -> str:
    shown = ", ".join(labels[:-1][:11]) + (" and " if len(labels) <= 12 else ", … and ") + labels[-1]
    return f"I can tell apart {shown}."


def _footer(info: ModelInfo) -> str:
    parts = [info.summary, f"Model {info.revision[:12]}" if info.revision else "", "[Use it from a program](/api)"]
    return " · ".join(part for part in parts if part)


# The wrapper stays while its content changes, which is what a screen reader needs to read the change out.
ANNOUNCE = """() => {
  const answer = document.getElementById("answer");
  answer?.setAttribute("role", "status");
  answer?.setAttribute("aria-live", "polite");
}"""
