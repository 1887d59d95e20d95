"""The page during a staged rollout: who asks says first what it is, or waits for a person."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr
from starlette.concurrency import run_in_threadpool

from spotter.errors import BadPicture, LogUnwritable, QueueUnwritable
from spotter.monitor.log import add_reviews
from spotter.names import NONE_OF_THESE
from spotter.rollout.review_queue import Outcome, Waiting
from spotter.rollout.stages import SHADOW, SUPERVISED
from spotter.serve.page import html
from spotter.serve.page.gradio_io import (
    Inputs,
    chosen_label,
    client_of,
    is_choice,
    label_choices,
    language_of,
    page_text,
    path_in,
)
from spotter.serve.page.translations import translate
from spotter.serve.service import AT_ONCE, Answer, Service

_log = logging.getLogger(__name__)

POLL_S = 3.0
MAX_BARS = 5

Values = dict[Any, Any]


@dataclass(frozen=True)
class Held:
    """What the server remembers of the picture on the page: the answer's id in the log, the ticket where it waits, and
    whether it was shown."""

    answer: str = ""
    ticket: str = ""
    is_shown: bool = False


@dataclass(frozen=True)
class Corner:
    """The components that come and go with the stage, and `held` with what was held back."""

    own_word: gr.Column
    said: gr.Radio
    tell: gr.Button
    wait: gr.Column
    consent: gr.Checkbox
    ask: gr.Button
    told: gr.HTML
    withdraw: gr.Button
    timer: gr.Timer
    held: gr.State
    others: list[Any] = field(default_factory=list)

    @property
    def outputs(self) -> list[Any]:
        """All that changes with a new picture; `others` are the page's own."""
        mine = [self.own_word, self.said, self.wait, self.consent, self.told, self.withdraw, self.timer, self.held]
        return [*self.others, *mine]

    def reset(self) -> Values:
        """As it is when nothing is held back."""
        return {
            self.own_word: gr.update(visible=False),
            self.said: None,
            self.wait: gr.update(visible=False),
            self.consent: False,
            self.told: "",
            self.withdraw: gr.update(visible=False),
            self.timer: gr.update(active=False),
            self.held: Held(is_shown=True),
        }

    def hold(self, answer: Answer) -> Values:
        """As it is when an answer is held back."""
        box = self.own_word if answer.stage == SHADOW else self.wait
        return self.reset() | {box: gr.update(visible=True), self.held: Held(answer.id)}


def stage_corner(service: Service, picture: gr.Image, words: gr.HTML, bars: gr.HTML, reasons: gr.HTML) -> Corner:
    """Add the components, and what their buttons do."""
    with gr.Column(visible=False, elem_id="own-word") as own_word:
        said = gr.Radio(label_choices(service.info.labels), label=page_text("you_say"), elem_id="own-label")
        tell = gr.Button(page_text("say_it"), variant="primary", elem_id="say-it")
    with gr.Column(visible=False, elem_id="wait") as wait:
        consent = gr.Checkbox(label=page_text("consent_wait"), value=False, elem_id="consent-wait")
        ask = gr.Button(page_text("ask_person"), variant="primary", elem_id="ask-person")
    told = gr.HTML("", elem_id="stage-state")
    withdraw = gr.Button(page_text("withdraw"), visible=False, elem_id="withdraw")
    timer = gr.Timer(POLL_S, active=False)
    held = gr.State(Held())
    corner = Corner(own_word, said, tell, wait, consent, ask, told, withdraw, timer, held, [words, bars, reasons])
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    work = private | {"preprocess": False, "concurrency_id": "inference", "concurrency_limit": AT_ONCE}
    tell.click(_say_handler(service, corner), [picture, said, held], corner.outputs, **work)
    ask.click(_ask_handler(service, corner), [picture, consent, held], corner.outputs, **work)
    withdraw.click(_withdraw_handler(service, corner), [held], corner.outputs, **private)
    timer.tick(_poll_handler(service, corner), [held], corner.outputs, **private)
    return corner


def held_words(answer: Answer, language: str) -> str:
    """What stands where the answer will be."""
    key = "you_first" if answer.stage == SHADOW else "person_first"
    return html.words(translate(key, language), translate(f"{key}_why", language))


def _say_handler(service: Service, corner: Corner) -> Callable[..., Any]:
    labels, log = service.info.labels, service.info.options.log

    async def tell(payload: Inputs | None, said: Any, held: Held, request: gr.Request) -> Values:
        language = language_of(request)
        words, bars, reasons = corner.others
        if not is_choice(said, labels):
            return {corner.told: html.note(translate("send_choose", language))}
        if service.stage_for(client_of(request)) != SHADOW or not log:
            return {corner.told: html.note(translate("stage_changed", language))}
        label = chosen_label(said, labels)
        try:
            # It was logged when the picture came, unless Gradio forgot about this page in between.
            route = "" if held.answer else "page"
            answer = await service.classify(path_in(payload, service.info), route, SHADOW)
            reviews = {held.answer or answer.id: NONE_OF_THESE if label is None else label}
            await run_in_threadpool(add_reviews, log.folder, reviews)
        except BadPicture as error:
            return {words: html.refusal(error, language)}
        except LogUnwritable as error:
            _log.warning("%s", error)
            return {corner.told: html.note(translate("not_sent", language))}
        key = "you_agree" if label == answer.prediction.label else "you_differ"
        yours = translate("none_of_these", language) if label is None else label
        return corner.reset() | {
            words: html.answer(answer.prediction, language),
            bars: html.bars(answer.prediction, MAX_BARS, language),
            reasons: "",
            corner.told: html.note(translate(key, language, label=yours)),
        }

    return tell


def _ask_handler(service: Service, corner: Corner) -> Callable[..., Any]:
    queue = service.info.options.waiting

    async def ask(payload: Inputs | None, consent: Any, held: Held, request: gr.Request) -> Values:
        language = language_of(request)
        words, *_ = corner.others
        if consent is not True:
            return {corner.told: html.note(translate("send_consent", language))}
        if held.ticket or not queue:
            return {}
        try:
            route = "" if held.answer else "page"
            answer = await service.classify(path_in(payload, service.info), route, SUPERVISED)
            id_ = held.answer or answer.id
            ticket = await run_in_threadpool(service.let_wait, answer, id_)
        except BadPicture as error:
            return {words: html.refusal(error, language)}
        except QueueUnwritable as error:
            _log.warning("%s", error)
            return {corner.told: html.note(translate("not_waiting", language))}
        return corner.reset() | {
            words: html.words(translate("waiting", language), translate("waiting_why", language)),
            corner.told: html.note(translate("ticket", language, id=ticket)),
            corner.withdraw: gr.update(visible=True),
            corner.timer: gr.update(active=True),
            corner.held: replace(held, answer=id_, ticket=ticket),
        }

    return ask


def _poll_handler(service: Service, corner: Corner) -> Callable[..., Any]:
    queue = service.info.options.waiting

    async def poll(held: Held, request: gr.Request) -> Any:
        found = await run_in_threadpool(queue.find, held.ticket) if queue and held.ticket else None
        if isinstance(found, Waiting):
            return gr.skip()
        language = language_of(request)
        words, *_ = corner.others
        if not isinstance(found, Outcome):
            return corner.reset() | {words: html.words(translate("gone", language)), corner.held: Held()}
        return corner.reset() | {words: html.outcome(found.said, found.is_confirmed, language)}

    return poll


def _withdraw_handler(service: Service, corner: Corner) -> Callable[..., Any]:
    queue = service.info.options.waiting

    async def withdraw(held: Held, request: gr.Request) -> Any:
        language = language_of(request)
        words, *_ = corner.others
        try:
            if queue:
                await run_in_threadpool(queue.forget, held.ticket)
        except QueueUnwritable as error:
            _log.warning("%s", error)
            return {corner.told: html.note(translate("not_forgotten", language))}
        return corner.reset() | {words: html.words(translate("forgotten", language)), corner.held: Held(held.answer)}

    return withdraw
