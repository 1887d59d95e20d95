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
from spotter.rollout.review_queue import Outcome, Waiting, WaitingFolder
from spotter.rollout.stages import SHADOW, SUPERVISED
from spotter.serve.choices import chosen_label, is_choice
from spotter.serve.page import html
from spotter.serve.page.gradio_io import (
    Inputs,
    browser_state,
    client_of,
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
    whether it was shown. The visitor's browser keeps the ticket too, as this is gone after a restart."""

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
    ticket: gr.BrowserState
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


def stage_corner(
    service: Service, page: gr.Blocks, picture: gr.Image, words: gr.HTML, bars: gr.HTML, reasons: gr.HTML
) -> Corner:
    """Add the components to a page, and what their buttons do."""
    with gr.Column(visible=False, elem_id="own-word") as own_word:
        said = gr.Radio(label_choices(service.info.labels), label=page_text("you_say"), elem_id="own-label")
        tell = gr.Button(page_text("say_it"), variant="primary", elem_id="say-it")
    with gr.Column(visible=False, elem_id="wait") as wait:
        consent = gr.Checkbox(label=page_text("consent_wait"), value=False, elem_id="consent-wait")
        ask = gr.Button(page_text("ask_person"), variant="primary", elem_id="ask-person")
    told = gr.HTML("", elem_id="stage-state")
    withdraw = gr.Button(page_text("withdraw"), visible=False, elem_id="withdraw")
    timer = gr.Timer(POLL_S, active=False)
    held, ticket = gr.State(Held()), browser_state("", "ticket")
    others = [words, bars, reasons]
    corner = Corner(own_word, said, tell, wait, consent, ask, told, withdraw, timer, held, ticket, others)
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    work = private | {"preprocess": False, "concurrency_id": "inference", "concurrency_limit": AT_ONCE}
    tell.click(_say_handler(service, corner), [picture, said, held], corner.outputs, **work)
    ask.click(_ask_handler(service, corner), [picture, consent, held], [*corner.outputs, ticket], **work)
    withdraw.click(_withdraw_handler(service, corner), [held, ticket], [*corner.outputs, ticket], **private)
    timer.tick(_poll_handler(service, corner), [held, ticket], [*corner.outputs, ticket], **private)
    # When the page is opened again, whoever waits still does.
    gr.on([page.load], _again_handler(service, corner), [ticket], [*corner.outputs, ticket], **private)
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
            answer = await service.classify(path_in(payload, service.info), route, SHADOW, client_of(request))
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
            answer = await service.classify(path_in(payload, service.info), route, SUPERVISED, client_of(request))
            id_ = held.answer or answer.id
            ticket = await run_in_threadpool(service.let_wait, answer, id_)
        except BadPicture as error:
            return {words: html.refusal(error, language)}
        except QueueUnwritable as error:
            _log.warning("%s", error)
            return {corner.told: html.note(translate("not_waiting", language))}
        return _waiting(corner, ticket, language) | {corner.held: replace(held, answer=id_, ticket=ticket)}

    return ask


def _poll_handler(service: Service, corner: Corner) -> Callable[..., Any]:
    queue = service.info.options.waiting

    async def poll(held: Held, ticket: Any, request: gr.Request) -> Any:
        found = await _find(queue, held.ticket or ticket)
        return gr.skip() if isinstance(found, Waiting) else _no_longer(corner, found, language_of(request))

    return poll


def _again_handler(service: Service, corner: Corner) -> Callable[..., Any]:
    queue = service.info.options.waiting

    async def show_again(ticket: Any, request: gr.Request) -> Any:
        if not ticket:
            return gr.skip()
        found, language = await _find(queue, ticket), language_of(request)
        if isinstance(found, Waiting):
            return _waiting(corner, found.ticket, language) | {corner.held: Held(found.answer, found.ticket)}
        return _no_longer(corner, found, language)

    return show_again


def _withdraw_handler(service: Service, corner: Corner) -> Callable[..., Any]:
    queue = service.info.options.waiting

    async def withdraw(held: Held, ticket: Any, request: gr.Request) -> Any:
        language = language_of(request)
        words, *_ = corner.others
        found = await _find(queue, held.ticket or ticket)
        try:
            is_gone = isinstance(found, Waiting) and queue and await run_in_threadpool(queue.forget, found.ticket)
        except QueueUnwritable as error:
            _log.warning("%s", error)
            return {corner.told: html.note(translate("not_forgotten", language))}
        if not is_gone:
            # Reviewed meanwhile, so the picture is gone too; or there is nothing by that name.
            return _no_longer(corner, found, language)
        told = {words: html.words(translate("forgotten", language)), corner.held: Held(held.answer)}
        return corner.reset() | told | {corner.ticket: ""}

    return withdraw


async def _find(queue: WaitingFolder | None, ticket: Any) -> Waiting | Outcome | None:
    """What waits under a ticket, as a browser kept it; it may send anything."""
    return await run_in_threadpool(queue.find, ticket) if queue and isinstance(ticket, str) else None


def _waiting(corner: Corner, ticket: str, language: str) -> Values:
    words, *_ = corner.others
    return corner.reset() | {
        words: html.words(translate("waiting", language), translate("waiting_why", language)),
        corner.told: html.note(translate("ticket", language, id=ticket)),
        corner.withdraw: gr.update(visible=True),
        corner.timer: gr.update(active=True),
        corner.ticket: ticket,
    }


def _no_longer(corner: Corner, found: Outcome | Waiting | None, language: str) -> Values:
    """As it is when an answer waits no more: what a person said, or that it is not there."""
    words, *_ = corner.others
    if not isinstance(found, Outcome):
        told = {words: html.words(translate("gone", language)), corner.held: Held()}
    else:
        told = {words: html.outcome(found.said, found.is_confirmed, language)}
    return corner.reset() | told | {corner.ticket: ""}
