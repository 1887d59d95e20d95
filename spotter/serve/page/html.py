"""The HTML of the page: each function fills in a template of `serve/templates`."""

import base64
import io
import re
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from spotter.decide.costs import ASK
from spotter.errors import BadPicture
from spotter.inference.prediction import Prediction
from spotter.inference.predictor import Neighbour
from spotter.serve.about import error_sentence
from spotter.serve.batch import NoAnswer, Result
from spotter.serve.page.preview import MOST_EXAMPLES
from spotter.serve.page.snippets import ADDRESS, Snippet
from spotter.serve.page.translations import LANGUAGES, as_written, has_text, join_labels, translate, translate_html
from spotter.serve.service import ModelInfo
from spotter.utils.templates import render_template
from spotter.utils.text import cost_figure, percent

OVERLAY_QUALITY = 85
# Nothing is quite certain.
_percent = partial(percent, digits=0, ends="open")


def headline(info: ModelInfo) -> str:
    """The title."""
    return render_part("headline.html", title=info.title)


def foot(info: ModelInfo, language: str) -> str:
    """The end of the page: the error in words, the revision, and the languages to choose from."""
    told = (info.about and error_sentence(info.about, language)) or info.summary
    return render_part(
        "foot.html", language, told=told, revision=(info.revision or "")[:12], language=language, languages=LANGUAGES
    )


def words(heading: str, more: str = "", kind: str = "hint") -> str:
    """What is said in big type, and the line below it."""
    return render_part("words.html", pieces=re.split("([0-9]+ %)", heading), more=more, kind=kind)


def start(info: ModelInfo, language: str) -> str:
    """What stands where the answer will be, with a word about the trial where there is one."""
    told = words(translate("start", language), translate("knows", language, labels=join_labels(info.labels, language)))
    return told + trial(info, ("trial_shadow", "trial_supervised"), language)


def limits(info: ModelInfo, language: str, **figures: Any) -> str:
    """How many pictures are taken at once; or that none are, where a trial forbids it."""
    return note(translate("limits", language, **figures)) + trial(info, ("trial_many",), language)


def gallery(info: ModelInfo, language: str) -> str:
    """The examples, small, to choose one."""
    return render_part("gallery.html", language, labels=[label for _, label in info.examples[:MOST_EXAMPLES]])


def consent(info: ModelInfo, language: str) -> str:
    """What is asked of a visitor before a picture is kept: it names the place where it is kept."""
    place = info.options.feedback_dataset
    return translate("consent_dataset", language, name=place) if place else translate("consent_folder", language)


def trial(info: ModelInfo, keys: Sequence[str], language: str) -> str:
    """What a visitor has to know before a picture is given. The page shows what fits the visitor's stage."""
    return render_part("trial.html", language, keys=keys) if info.options.rollout else ""


def answer(prediction: Prediction, language: str) -> str:
    """The answer in words."""
    advice = _advice(prediction, language)
    if not prediction.familiar:
        more = translate("closest", language, label=prediction.closest)
        return words(translate("unsure", language), f"{more} {advice}".strip(), "unsure")
    if prediction.set not in (None, [prediction.label]):
        return _several(prediction, advice, language)
    name = f"{prediction.label[:1].upper()}{prediction.label[1:]}"
    percent = 100 * prediction.probabilities[prediction.label]
    key = "very_sure" if percent >= 99.5 else "sure"
    return words(translate(key, language, label=name, percent=f"{percent:.0f}"), advice, "sure")


def _several(prediction: Prediction, advice: str, language: str) -> str:
    """What is said where not the most probable label alone may be true."""
    chosen = tuple(prediction.set or ())
    if not chosen or len(chosen) == len(prediction.probabilities):
        more = translate("closest", language, label=prediction.closest)
        return words(translate("unsure_set", language), f"{more} {advice}".strip(), "unsure")
    listed = join_labels(chosen, language, last="or")
    more = translate("set_told", language)
    return words(f"{listed[:1].upper()}{listed[1:]}", f"{more} {advice}".strip(), "sure")


def _advice(prediction: Prediction, language: str) -> str:
    """Whether the answer is about a part of the picture, whether a prior was used, and what is best done, by what
    mistakes cost; "" where there is none of these."""
    told = [translate("looked_closer", language)] if prediction.looked_at else []
    told += [translate("prior_used", language)] if prediction.prior else []
    if prediction.decision is not None:
        key = "advice_ask" if prediction.decision == ASK else "advice_say"
        cost = as_written(cost_figure(prediction.expected_cost or 0), language)
        told.append(translate(key, language, label=prediction.decision, cost=cost))
    return " ".join(told)


def outcome(said: str | None, is_confirmed: bool, language: str) -> str:
    """What a person said it is; None: none of the labels."""
    if said is None:
        return words(translate("person_none", language), kind="unsure")
    name = f"{said[:1].upper()}{said[1:]}"
    return words(name, translate("person_confirmed" if is_confirmed else "person_said", language), "sure")


def refusal(error: BadPicture, language: str) -> str:
    """Why a file is not classified, in words."""
    return words(translate("unreadable", language), picture_problem(error).tell(language), "unsure")


def picture_problem(error: BadPicture) -> NoAnswer:
    """The same as a sentence of the page's, where it has one."""
    return NoAnswer(error.reason) if has_text(error.reason) else NoAnswer("other", (("text", str(error)),))


def bars(prediction: Prediction, most: int, language: str) -> str:
    """A bar for each of the most probable labels; pale, and with a word of warning, where it is not sure."""
    ranked = sorted(prediction.probabilities.items(), key=lambda item: item[1], reverse=True)[:most]
    return render_part("bars.html", language, ranked=ranked, familiar=prediction.familiar, percent=_percent)


def reasons(
    prediction: Prediction, drawn: Image.Image | None, near: Sequence[Neighbour] | None, most: int, language: str
) -> str:
    """Where the evidence lies, and what the picture looks like; either may be missing."""
    # A picture may stand for several rows.
    found = {one.thumbnail.jpeg: one.thumbnail for one in near or () if one.thumbnail}
    return render_part(
        "reasons.html",
        language,
        label=prediction.closest,
        framed=prediction.looked_at is not None,
        drawn=_data_url(_encode(drawn)) if drawn else "",
        near=None if near is None else list(found.values())[:most],
        site=_site,
        data_url=_data_url,
    )


def use(programs: Sequence[Snippet], embeds: Sequence[Snippet], language: str) -> str:
    """The snippets, with a button to copy each."""
    return render_part("use.html", language, address=ADDRESS, snippets=[*embeds, *programs], has_text=has_text)


def note(text: str) -> str:
    """A line of plain words."""
    return render_part("note.html", words=text)


def progress(done: int, total: int, language: str) -> str:
    """How far many pictures are."""
    return render_part("progress.html", language, done=done, total=total)


def summary(results: Sequence[Result], language: str) -> str:
    """How many pictures got which kind of answer."""
    answers = [result.prediction for result in results if result.prediction]
    named = sum(prediction.familiar for prediction in answers)
    figures = {"pictures": len(results), "named": named, "unsure": len(answers) - named}
    return note(translate("done", language, **figures, failed=len(results) - len(answers)))


def table(results: Sequence[Result], language: str) -> str:
    """The answers to many pictures, or why there is none."""
    return render_part("table.html", language, language=language, results=results, percent=_percent)


def render_part(template: str, spoken: str = "en", /, **values: Any) -> str:
    """Fill in a template of the page's; `text` in it gives a text in the language `spoken`."""
    return render_template("serve", template, text=partial(translate_html, language=spoken), **values).strip()


def _site(url: str) -> str:
    # The addresses are from the sources of pictures: nothing but a page may hide behind one.
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.netloc if parts.scheme in {"http", "https"} else ""


def _encode(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=OVERLAY_QUALITY)
    return buffer.getvalue()


def _data_url(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
