"""Event handlers of the page and of Gradio clients: what happens when somebody sends a picture."""

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

from spotter.config import ServeConfig
from spotter.errors import BadPicture, FeedbackUnwritable
from spotter.feedback.store import ID, Removal
from spotter.images import load_picture
from spotter.serve.batch import NoAnswer, Plan, Result, as_csv, as_json, unpack
from spotter.serve.choices import YES, chosen_label, is_choice
from spotter.serve.page import html
from spotter.serve.page.gradio_io import (
    Inputs,
    client_of,
    language_of,
    path_in,
)
from spotter.serve.page.rollout import MAX_BARS, Corner, Held, held_words
from spotter.serve.page.translations import translate
from spotter.serve.service import Answer, ModelInfo, Service, full_payload, label_payload, withheld

_log = logging.getLogger(__name__)
# Of so many nearest rows of the reference, so many pictures are shown: not every row has one.
ASKED_ROWS, SHOWN_NEIGHBOURS = 100, 6
# Seconds between two updates of the table of many pictures.
UPDATE_S = 0.3
# A browser keeps the ids of so many entries that its visitor sent.
REMEMBERED_IDS = 100
_REMOVALS = {Removal.GONE: "forgotten", Removal.SOON: "forgotten_soon", Removal.UNKNOWN: "not_here"}


def page_handler(service: Service, corner: Corner | None) -> Callable[..., Any]:
    async def show(payload: Inputs | None, request: gr.Request) -> Any:
        language, more = language_of(request), corner.reset() if corner else {}
        if not payload:
            told = html.start(service.info, language), "", ""
        else:
            try:
                stage = service.stage_for(client_of(request))
                answer = await service.classify(path_in(payload, service.info), "page", stage, client_of(request))
            except BadPicture as error:
                # Said where the answer would be: a passing toast would leave the answer for the picture before.
                told = html.refusal(error, language), "", ""
            else:
                if corner and not answer.may_go_out:
                    told, more = (held_words(answer, language), "", ""), corner.hold(answer)
                else:
                    told = (
                        html.answer(answer.prediction, language),
                        html.bars(answer.prediction, MAX_BARS, language),
                        "",
                    )
        return dict(zip(corner.others, told, strict=True)) | more if corner else told

    return show


def example_handler(info: ModelInfo) -> Callable[..., Any]:
    def choose(event: gr.EventData) -> Any:
        number = event._data.get("index") if isinstance(event._data, dict) else None
        if isinstance(number, int) and 0 <= number < len(info.examples):
            return info.examples[number][0]
        raise gr.Error("There is no such example.", print_exception=False)

    return choose


def why_handler(service: Service) -> Callable[..., Any]:
    options = service.info.options

    async def why(payload: Inputs | None, request: gr.Request) -> str:
        language = language_of(request)
        if not payload:
            return ""
        try:
            picture = await run_in_threadpool(load_picture, path_in(payload, service.info))
        except BadPicture as error:
            return html.refusal(error, language)
        answer = await service.classify(picture)
        drawn = await run_in_threadpool(options.explain, picture) if options.explain else None
        near = await run_in_threadpool(options.nearest, picture, ASKED_ROWS) if options.nearest else None
        return html.reasons(answer.prediction, drawn, near, SHOWN_NEIGHBOURS, language)

    async def why_if_shown(payload: Inputs | None, held: Held, request: gr.Request) -> str:
        # Evidence for an answer would tell it.
        return await why(payload, request) if held.is_shown else ""

    return why_if_shown if options.rollout else why


def send_handler(service: Service) -> Callable[..., Any]:
    labels, keep = service.info.labels, service.info.options.keep

    async def send(
        payload: Inputs | None, right: Any, said: Any, consent: Any, sent: Any, request: gr.Request
    ) -> tuple[str, list[str], bool, Any]:
        language, ids = language_of(request), sent_ids(sent)

        def refuse(key: str) -> tuple[str, list[str], bool, Any]:
            return html.note(translate(key, language)), ids, consent is True, gr.update(visible=bool(ids))

        if not payload or not keep:
            return refuse("send_picture")
        if right != YES and not is_choice(said, labels):
            return refuse("send_choose")
        if consent is not True:
            return refuse("send_consent")
        try:
            path = path_in(payload, service.info)
            picture = await run_in_threadpool(load_picture, path)
            answer = await service.classify(picture)
            if right == YES and not answer.prediction.familiar:
                # There was no answer that could be right.
                return refuse("send_choose")
            label = answer.prediction.label if right == YES else chosen_label(said, labels)
            id_ = await run_in_threadpool(partial(keep, picture, answer.prediction, label, logged=service.logged(path)))
        except BadPicture:
            return refuse("send_picture")
        except FeedbackUnwritable as error:
            _log.warning("%s", error)
            return refuse("not_sent")
        ids = [*ids, id_][-REMEMBERED_IDS:]
        return html.note(translate("sent", language, id=id_)), ids, False, gr.update(visible=True)

    return send


def forget_handler(service: Service) -> Callable[..., Any]:
    remove = service.info.options.forget

    async def forget(sent: Any, request: gr.Request) -> tuple[str, list[str], Any]:
        language, ids = language_of(request), sent_ids(sent)
        if not ids or not remove:
            return html.note(translate("nothing_sent", language)), [], gr.update(visible=False)
        try:
            removal = await run_in_threadpool(remove, ids[-1])
        except FeedbackUnwritable as error:
            _log.warning("%s", error)
            return html.note(translate("not_forgotten", language)), ids, gr.update(visible=True)
        told, rest = translate(_REMOVALS[removal], language, id=ids[-1]), ids[:-1]
        return html.note(told), rest, gr.update(visible=bool(rest))

    return forget


def sent_ids(sent: Any) -> list[str]:
    """The ids of what a visitor sent, oldest first, as the visitor's browser has kept them; it may send anything."""
    return [id_ for id_ in sent if isinstance(id_, str) and ID.fullmatch(id_)] if isinstance(sent, list) else []


def many_handler(service: Service, config: ServeConfig) -> Callable[..., Any]:
    async def classify_all(payloads: Any, request: gr.Request) -> AsyncIterator[tuple[str, str, Any]]:
        language, hidden = language_of(request), gr.update(visible=False)
        if not payloads:
            yield html.note(translate("nothing", language)), "", hidden
            return
        results: list[Result] = []
        stage = service.stage_for(client_of(request))
        plans = await _plan(payloads, config)
        yield html.progress(0, len(plans), language), "", hidden
        shown = time.monotonic()
        for plan in plans:
            results.append(await _classify_one(service, plan, stage, client_of(request)))
            if time.monotonic() - shown >= UPDATE_S:
                yield html.progress(len(results), len(plans), language), html.table(results, language), hidden
                shown = time.monotonic()
        file = gr.update(value=_save_csv(results, service.info), visible=True)
        yield html.summary(results, language), html.table(results, language), file

    return classify_all


def batch_handler(service: Service, config: ServeConfig) -> Callable[..., Any]:
    async def classify_batch(files: Any, request: gr.Request) -> tuple[dict[str, Any], str]:
        """Classify many pictures: files or zips of them. Gives a result for each, and the path of a CSV file."""
        if not files:
            raise gr.Error("There are no files: send at least one.", print_exception=False)
        stage = service.stage_for(client_of(request))
        results = [await _classify_one(service, plan, stage, client_of(request)) for plan in await _plan(files, config)]
        answers = {"results": as_json(results), "threshold": service.info.threshold, "revision": service.info.revision}
        return answers, _save_csv(results, service.info)

    return classify_batch


async def _plan(payloads: Any, config: ServeConfig) -> list[Plan]:
    given = payloads if isinstance(payloads, list) else [payloads]
    files: list[tuple[str, Path | None]] = []
    for payload in given:
        name = str(payload.get("orig_name") or "") if isinstance(payload, dict) else ""
        try:
            path = path_in(payload, None)
            files.append((name or path.name, path))
        except BadPicture as error:
            files.append((name, None))
            problem = error
    if not any(path for _, path in files):
        raise gr.Error(str(problem), print_exception=False) from problem
    return await run_in_threadpool(unpack, files, config)


async def _classify_one(service: Service, plan: Plan, stage: str | None, client: str) -> Result:
    item = await run_in_threadpool(plan)
    if item.problem:
        return Result(item.name, problem=item.problem)
    try:
        answer = await service.classify(item.content, "files", stage, client)
    except BadPicture as error:
        return Result(item.name, problem=html.picture_problem(error))
    # Others wait for the same network: let them in between.
    await asyncio.sleep(0)
    if not answer.may_go_out:
        return Result(item.name, problem=NoAnswer("one_by_one"))
    return Result(item.name, answer.prediction)


def _save_csv(results: Sequence[Result], info: ModelInfo) -> str:
    # With a mark that tells spreadsheets that it is UTF-8. Among the uploads, where it is removed in time.
    content = as_csv(results, info.labels, info.advice).encode("utf-8-sig", "replace")
    return save_bytes_to_cache(content, "answers.csv", get_upload_folder())


def predict_handler(service: Service) -> Callable[..., Any]:
    async def predict(picture: dict[str, Any] | None, request: gr.Request) -> dict[str, Any]:
        """Classify a picture. `label` is "not sure" when it is unlike the pictures the model learned from."""
        return label_payload(withheld(await _classify_or_say_why(service, picture, request)).prediction)

    return predict


def classify_handler(service: Service) -> Callable[..., Any]:
    async def classify(picture: dict[str, Any] | None, request: gr.Request) -> dict[str, Any]:
        """Classify a picture and tell everything: probabilities, familiarity, revision and timings."""
        return full_payload(withheld(await _classify_or_say_why(service, picture, request)), service.info)

    return classify


async def _classify_or_say_why(service: Service, payload: Inputs | None, request: gr.Request) -> Answer:
    try:
        stage = service.stage_for(client_of(request))
        return await service.classify(path_in(payload, service.info), "client", stage, client_of(request))
    except BadPicture as error:
        raise gr.Error(str(error), print_exception=False) from error
