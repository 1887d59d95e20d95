"""The page that visitors meet, and its Gradio endpoints."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from spotter import parts
from spotter.about import about_html
from spotter.batch import Plan, Problem, Result, as_csv, as_json, unpack
from spotter.choice import chosen_label, is_choice
from spotter.config import ServeConfig
from spotter.errors import BadPicture, FeedbackUnwritable
from spotter.images import load_picture
from spotter.page_rollout import MAX_BARS, Corner, Held, held_words, stage_corner
from spotter.payload import Inputs, client_of, label_choices, language_of, page_text, path_in
from spotter.script import snippet_script
from spotter.service import AT_ONCE, Answer, ModelInfo, Service, full_payload, label_payload, withheld
from spotter.snippets import element_snippet, frame_snippet, program_snippets
from spotter.translations import LANGUAGES, as_message, messages, name_key, translate

_log = logging.getLogger(__name__)

CACHE_LIFE_S = 600
# Of so many nearest rows of the reference, so many pictures are shown: not every row has one.
ASKED_ROWS, SHOWN_NEIGHBOURS = 100, 6
# Seconds between two updates of the table of many pictures.
UPDATE_S = 0.3


def classifier_page(service: Service, config: ServeConfig) -> gr.Blocks:
    """Build the page and the Gradio endpoints `/predict`, `/classify` and `/classify_batch`."""
    info = service.info
    texts = gr.I18n(**_messages(info, config))
    with _blank_page(info) as page:
        with gr.Tabs(elem_id="rooms"):
            with gr.Tab(page_text("tab_one"), id="one", elem_id="room-one"):
                picture = _one_room(service)
            with gr.Tab(page_text("tab_many"), id="many", elem_id="room-many"):
                files = _many_room(service, config)
            if info.about:
                with gr.Tab(page_text("tab_about"), id="about", elem_id="room-about"):
                    gr.HTML(page_text("about_html"))
            with gr.Tab(page_text("tab_use"), id="use", elem_id="room-use"):
                gr.HTML(page_text("use_html"), js_on_load=snippet_script())
        gr.HTML(page_text("foot_html"), elem_id="foot")
        _add_endpoints(service, config, picture, files)
    page.i18n_instance = texts
    return page


def problem_page(info: ModelInfo, problem: str) -> gr.Blocks:
    """Build a page that says why there is no model."""
    told = {language: {name_key("problem"): _problem(problem, language)} for language in LANGUAGES}
    with _blank_page(info) as page:
        gr.HTML(page_text("problem"), elem_id="answer")
    page.i18n_instance = gr.I18n(**told)
    return page


async def embed_script() -> Response:
    """The script of this version of Gradio that makes `<gradio-app>` work on other pages."""
    script = (Path(gr.__file__).parent / "templates" / "frontend" / "gradio.js").read_text(encoding="utf-8")
    # A module from elsewhere is only loaded where its server allows it; this one is the same for everybody.
    headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "max-age=3600"}
    return Response(script, media_type="text/javascript", headers=headers)


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
            "start_html": parts.start(info.labels, language),
            "limits_html": parts.note(translate("limits", language, **limits)),
            "foot_html": parts.foot(info, language),
            "use_html": parts.use(program_snippets(), _embeds(info), language),
        }
        if info.about:
            pages["about_html"] = about_html(info.about, language)
        made = {name_key(key): as_message(markup) for key, markup in pages.items()}
        tables[language] = messages(language) | made
    return tables


def _embeds(info: ModelInfo) -> tuple[Any, ...]:
    return frame_snippet(info.title), element_snippet(gr.__version__)


def _problem(problem: str, language: str) -> str:
    return as_message(parts.words(translate("not_ready", language), problem))


def _blank_page(info: ModelInfo) -> gr.Blocks:
    page = gr.Blocks(title=info.title, analytics_enabled=False, delete_cache=(CACHE_LIFE_S, CACHE_LIFE_S))
    with page:
        gr.HTML(parts.headline(info), elem_id="headline")
    return page


def _one_room(service: Service) -> gr.Image:
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
                page_text("why"), elem_id="ask-why", visible=bool(info.extras.explain or info.extras.nearest)
            )
            reasons = gr.HTML("", elem_id="why")
            corner = stage_corner(service, picture, words, bars, reasons) if info.extras.rollout else None
            if info.extras.keep:
                _feedback_corner(service, picture)
    # preprocess=False: load_picture gets the file as it was sent; Gradio's own decoding would come first.
    picture.change(
        _page_handler(service, corner),
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
        _why_handler(service),
        [picture, corner.held] if corner else [picture],
        [reasons],
        preprocess=False,
        postprocess=False,
        show_progress="minimal",
        api_visibility="private",
        concurrency_id="why",
        concurrency_limit=1,
    )
    return picture


def _feedback_corner(service: Service, picture: gr.Image) -> None:
    with gr.Accordion(page_text("feedback"), open=False, elem_id="feedback"):
        said = gr.Radio(label_choices(service.info.labels), label=page_text("it_is"), elem_id="said")
        consent = gr.Checkbox(label=page_text("consent"), value=False, elem_id="consent")
        send = gr.Button(page_text("send"), elem_id="send")
        told = gr.HTML("", elem_id="feedback-state")
        forget = gr.Button(page_text("forget"), visible=False, elem_id="forget")
        kept = gr.State("")
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    send.click(
        _send_handler(service), [picture, said, consent], [told, kept, consent, forget], preprocess=False, **private
    )
    forget.click(_forget_handler(service), [kept], [told, kept, forget], **private)
    # Consent is for one picture.
    picture.change(
        lambda: (None, False, "", "", gr.update(visible=False)), [], [said, consent, told, kept, forget], **private
    )


def _many_room(service: Service, config: ServeConfig) -> gr.File:
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
        _many_handler(service, config),
        [files],
        [state, table, csv],
        preprocess=False,
        show_progress="hidden",
        api_visibility="private",
        concurrency_id="batch",
        concurrency_limit=1,
    )
    return files


def _add_endpoints(service: Service, config: ServeConfig, picture: gr.Image, files: gr.File) -> None:
    label, details, answers = gr.Label(visible=False), gr.JSON(visible=False), gr.JSON(visible=False)
    table = gr.File(visible=False, label="table")
    one: dict[str, Any] = {
        "inputs": [picture],
        "preprocess": False,
        "postprocess": False,
        "concurrency_id": "inference",
        "concurrency_limit": AT_ONCE,
    }
    gr.on([], _predict_handler(service), outputs=[label], api_name="predict", **one)
    gr.on([], _classify_handler(service), outputs=[details], api_name="classify", **one)
    gr.on(
        [],
        _batch_handler(service, config),
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
    paths = [path for path, _ in info.examples]
    # Exactly these files may be shown and classified in place, wherever the model is stored.
    gr.set_static_paths(paths)
    gr.Examples(
        [[path] for path in paths],
        inputs=[picture],
        label=page_text("examples"),
        examples_per_page=12,
        cache_examples=False,
        api_visibility="private",
        elem_id="examples",
    )


def _page_handler(service: Service, corner: Corner | None) -> Callable[..., Any]:
    async def show(payload: Inputs | None, request: gr.Request) -> Any:
        language, more = language_of(request), corner.reset() if corner else {}
        if not payload:
            told = parts.start(service.info.labels, language), "", ""
        else:
            try:
                stage = service.stage_for(client_of(request))
                answer = await service.classify(path_in(payload, service.info), "page", stage)
            except BadPicture as error:
                # Said where the answer would be: a passing toast would leave the answer for the picture before.
                told = parts.refusal(error, language), "", ""
            else:
                if corner and not answer.may_go_out:
                    told, more = (held_words(answer, language), "", ""), corner.hold(answer)
                else:
                    told = parts.answer(answer.prediction, language), parts.bars(answer.prediction, MAX_BARS), ""
        return dict(zip(corner.others, told, strict=True)) | more if corner else told

    return show


def _why_handler(service: Service) -> Callable[..., Any]:
    extras = service.info.extras

    async def why(payload: Inputs | None, request: gr.Request) -> str:
        language = language_of(request)
        if not payload:
            return ""
        try:
            picture = await run_in_threadpool(load_picture, path_in(payload, service.info))
        except BadPicture as error:
            return parts.refusal(error, language)
        answer = await service.classify(picture)
        label = answer.prediction.label
        drawn = await run_in_threadpool(extras.explain, picture) if extras.explain else None
        near = await run_in_threadpool(extras.nearest, picture, ASKED_ROWS) if extras.nearest else None
        return parts.reasons(label, drawn, near, SHOWN_NEIGHBOURS, language)

    async def why_if_shown(payload: Inputs | None, held: Held, request: gr.Request) -> str:
        # Evidence for an answer would tell it.
        return await why(payload, request) if held.is_shown else ""

    return why_if_shown if extras.rollout else why


def _send_handler(service: Service) -> Callable[..., Any]:
    labels, keep = service.info.labels, service.info.extras.keep

    async def send(payload: Inputs | None, said: Any, consent: Any, request: gr.Request) -> tuple[str, str, bool, Any]:
        language, hidden = language_of(request), gr.update(visible=False)

        def refuse(key: str) -> tuple[str, str, bool, Any]:
            return parts.note(translate(key, language)), "", consent is True, hidden

        if not payload or not keep:
            return refuse("send_picture")
        if not is_choice(said, labels):
            return refuse("send_choose")
        if consent is not True:
            return refuse("send_consent")
        try:
            path = path_in(payload, service.info)
            picture = await run_in_threadpool(load_picture, path)
            answer = await service.classify(picture)
            label = chosen_label(said, labels)
            id_ = await run_in_threadpool(partial(keep, picture, answer.prediction, label, logged=service.logged(path)))
        except BadPicture:
            return refuse("send_picture")
        except FeedbackUnwritable as error:
            _log.warning("%s", error)
            return refuse("not_sent")
        return parts.note(translate("sent", language, id=id_)), id_, False, gr.update(visible=True)

    return send


def _forget_handler(service: Service) -> Callable[..., Any]:
    async def forget(id_: str, request: gr.Request) -> tuple[str, str, Any]:
        language = language_of(request)
        try:
            if service.info.extras.forget:
                await run_in_threadpool(service.info.extras.forget, id_)
        except FeedbackUnwritable as error:
            _log.warning("%s", error)
            return parts.note(translate("not_forgotten", language)), id_, gr.update(visible=True)
        return parts.note(translate("forgotten", language)), "", gr.update(visible=False)

    return forget


def _many_handler(service: Service, config: ServeConfig) -> Callable[..., Any]:
    async def classify_all(payloads: Any, request: gr.Request) -> AsyncIterator[tuple[str, str, Any]]:
        language, hidden = language_of(request), gr.update(visible=False)
        if not payloads:
            yield parts.note(translate("nothing", language)), "", hidden
            return
        results: list[Result] = []
        stage = service.stage_for(client_of(request))
        plans = await _plan(payloads, config)
        yield parts.progress(0, len(plans), language), "", hidden
        shown = time.monotonic()
        for plan in plans:
            results.append(await _classify_one(service, plan, stage))
            if time.monotonic() - shown >= UPDATE_S:
                yield parts.progress(len(results), len(plans), language), parts.table(results, language), hidden
                shown = time.monotonic()
        file = gr.update(value=_save_csv(results, service.info), visible=True)
        yield parts.summary(results, language), parts.table(results, language), file

    return classify_all


def _batch_handler(service: Service, config: ServeConfig) -> Callable[..., Any]:
    async def classify_batch(files: Any, request: gr.Request) -> tuple[dict[str, Any], str]:
        """Classify many pictures: files or zips of them. Gives a result for each, and the path of a CSV file."""
        if not files:
            raise gr.Error("There are no files: send at least one.", print_exception=False)
        stage = service.stage_for(client_of(request))
        results = [await _classify_one(service, plan, stage) for plan in await _plan(files, config)]
        answers = {"results": as_json(results), "threshold": service.info.threshold, "revision": service.info.revision}
        return answers, _save_csv(results, service.info)

    return classify_batch


async def _plan(payloads: Any, config: ServeConfig) -> list[Plan]:
    given = payloads if isinstance(payloads, list) else [payloads]
    files = []
    for payload in given:
        try:
            path = path_in(payload, None)
        except BadPicture as error:
            raise gr.Error(str(error), print_exception=False) from error
        files.append((str(payload.get("orig_name") or path.name), path))
    return await run_in_threadpool(unpack, files, config)


async def _classify_one(service: Service, plan: Plan, stage: str | None) -> Result:
    item = await run_in_threadpool(plan)
    if item.problem:
        return Result(item.name, problem=item.problem)
    try:
        answer = await service.classify(item.content, "files", stage)
    except BadPicture as error:
        return Result(item.name, problem=parts.picture_problem(error))
    # Others wait for the same network: let them in between.
    await asyncio.sleep(0)
    if not answer.may_go_out:
        return Result(item.name, problem=Problem("one_by_one"))
    return Result(item.name, answer.prediction)


def _save_csv(results: Sequence[Result], info: ModelInfo) -> str:
    # With a mark that tells spreadsheets that it is UTF-8. Among the uploads, where it is removed in time.
    content = as_csv(results, info.labels).encode("utf-8-sig", "replace")
    return save_bytes_to_cache(content, "answers.csv", get_upload_folder())


def _predict_handler(service: Service) -> Callable[..., Any]:
    async def predict(picture: dict[str, Any] | None, request: gr.Request) -> dict[str, Any]:
        """Classify a picture. `label` is "not sure" when it is unlike the pictures the model learned from."""
        return label_payload(withheld(await _classify_or_say_why(service, picture, request)).prediction)

    return predict


def _classify_handler(service: Service) -> Callable[..., Any]:
    async def classify(picture: dict[str, Any] | None, request: gr.Request) -> dict[str, Any]:
        """Classify a picture and tell everything: probabilities, familiarity, revision and timings."""
        return full_payload(withheld(await _classify_or_say_why(service, picture, request)), service.info)

    return classify


async def _classify_or_say_why(service: Service, payload: Inputs | None, request: gr.Request) -> Answer:
    try:
        stage = service.stage_for(client_of(request))
        return await service.classify(path_in(payload, service.info), "client", stage)
    except BadPicture as error:
        raise gr.Error(str(error), print_exception=False) from error
