"""The pieces of HTML that the page is made of; everything that comes from outside is escaped here."""

import base64
import html
import io
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from PIL import Image

from spotter.about import error_sentence
from spotter.batch import Problem, Result
from spotter.errors import BadPicture
from spotter.predictor import Neighbour, Prediction
from spotter.service import ModelInfo
from spotter.snippets import Snippet
from spotter.thumbnails import Thumbnail
from spotter.translations import has_text, join_labels, translate, translate_html
from spotter.utils.text import percent

OVERLAY_QUALITY = 85


def headline(info: ModelInfo) -> str:
    """The title. The labels of the examples go along for the script that names their pictures."""
    labels = html.escape("\n".join(label for _, label in info.examples), quote=True)
    return f'<h1 data-examples="{labels}">{html.escape(info.title)}</h1>'


def foot(info: ModelInfo, language: str) -> str:
    """The last line: the error in words, and the revision."""
    told = html.escape((info.about and error_sentence(info.about, language)) or info.summary)
    revision = f"<code>{html.escape(info.revision[:12])}</code>" if info.revision else ""
    return f"<p>{' '.join(filter(None, (told, revision)))}</p>"


def words(heading: str, more: str = "", kind: str = "hint") -> str:
    """What is said in big type, and the line below it."""
    second = f"<p>{html.escape(more)}</p>" if more else ""
    # A number stays with its sign.
    whole = re.sub(r"[0-9]+ %", r'<span class="whole">\g<0></span>', html.escape(heading))
    return f'<div class="{kind}"><h2>{whole}</h2>{second}</div>'


def start(labels: tuple[str, ...], language: str) -> str:
    """What stands where the answer will be."""
    return words(translate("start", language), translate("knows", language, labels=join_labels(labels, language)))


def answer(prediction: Prediction, language: str) -> str:
    """The answer in words."""
    if not prediction.familiar:
        return words(translate("unsure", language), translate("closest", language, label=prediction.label), "unsure")
    name = f"{prediction.label[:1].upper()}{prediction.label[1:]}"
    percent = 100 * prediction.probabilities[prediction.label]
    key = "very_sure" if percent >= 99.5 else "sure"
    return words(translate(key, language, label=name, percent=f"{percent:.0f}"), kind="sure")


def outcome(said: str | None, is_confirmed: bool, language: str) -> str:
    """What a person said it is; None: none of the labels."""
    if said is None:
        return words(translate("person_none", language), kind="unsure")
    name = f"{said[:1].upper()}{said[1:]}"
    return words(name, translate("person_confirmed" if is_confirmed else "person_said", language), "sure")


def refusal(error: BadPicture, language: str) -> str:
    """Why a file is not classified, in words."""
    return words(translate("unreadable", language), picture_problem(error).tell(language), "unsure")


def picture_problem(error: BadPicture) -> Problem:
    """The same as a sentence of the page's, where it has one."""
    return Problem(error.reason) if has_text(error.reason) else Problem("other", (("text", str(error)),))


def bars(prediction: Prediction, most: int) -> str:
    """A bar for each of the most probable labels."""
    ranked = sorted(prediction.probabilities.items(), key=lambda item: item[1], reverse=True)[:most]
    rows = []
    for label, share in ranked:
        name = html.escape(label, quote=True)
        rows.append(
            f'<li><span class="name">{name}</span><span class="share">{_percent(share)}</span>'
            f'<meter max="1" value="{share:.4f}" style="--share: {share:.1%}" aria-label="{name}"></meter></li>'
        )
    return f'<ol class="{"known" if prediction.familiar else "strange"}">{"".join(rows)}</ol>'


def reasons(label: str, drawn: Image.Image | None, near: Sequence[Neighbour] | None, most: int, language: str) -> str:
    """Where the evidence lies, and what the picture looks like; either may be missing."""
    blocks = []
    if drawn:
        source, alt = _data_url(_encode(drawn)), translate_html("evidence_alt", language, label=label)
        caption = translate_html("evidence", language, label=label)
        blocks.append(f'<figure><img src="{source}" alt="{alt}"><figcaption>{caption}</figcaption></figure>')
    if near is not None:
        # A picture may stand for several rows.
        found = {one.thumbnail.jpeg: one.thumbnail for one in near if one.thumbnail}
        shown = list(found.values())[:most]
        key = "nearest" if shown else "none_shown"
        blocks.append(f"<p>{html.escape(translate(key, language))}</p>")
        if shown:
            items = "".join(f"<li>{_thumbnail(thumbnail, language)}</li>" for thumbnail in shown)
            blocks.append(f'<ul class="near">{items}</ul>')
    return f'<div class="reasons">{"".join(blocks)}</div>'


def use(programs: Sequence[Snippet], embeds: Sequence[Snippet], language: str) -> str:
    """The snippets, with a button to copy each."""
    blocks = []
    for snippet in (*embeds, *programs):
        text = f"{snippet.key}_text"
        more = f"<p>{html.escape(translate(text, language))}</p>" if has_text(text) else ""
        blocks.append(
            f"<section><h2>{html.escape(translate(snippet.key, language))}</h2>{more}"
            f'<div class="snippet"><pre tabindex="0"><code class="{snippet.language}">{html.escape(snippet.code)}'
            f'</code></pre><button type="button" class="copy" data-done="{html.escape(translate("copied", language))}">'
            f"{html.escape(translate('copy', language))}</button></div></section>"
        )
    more = translate("use_more", language, link='<a href="/api">/api</a>')
    return f'<div class="page-text">{"".join(blocks)}<p>{more}</p></div>'


def note(text: str) -> str:
    """A line of plain words."""
    return f"<p>{html.escape(text)}</p>"


def progress(done: int, total: int, language: str) -> str:
    """How far many pictures are."""
    text = translate_html("progress", language, done=done, total=total)
    return f'<label>{text}<progress max="{max(total, 1)}" value="{done}"></progress></label>'


def summary(results: Sequence[Result], language: str) -> str:
    """How many pictures got which kind of answer."""
    answers = [result.prediction for result in results if result.prediction]
    named = sum(prediction.familiar for prediction in answers)
    figures = {"pictures": len(results), "named": named, "unsure": len(answers) - named}
    return note(translate("done", language, **figures, failed=len(results) - len(answers)))


def table(results: Sequence[Result], language: str) -> str:
    """The answers to many pictures, or why there is none."""
    heads = "".join(
        f'<th scope="col">{html.escape(translate(key, language))}</th>'
        for key in ("column_file", "column_answer", "column_sure")
    )
    rows = []
    for result in results:
        name = f'<th scope="row">{html.escape(result.name)}</th>'
        prediction = result.prediction
        if prediction is None:
            problem = html.escape(result.problem.tell(language)) if result.problem else ""
            rows.append(f'<tr class="failed">{name}<td colspan="2">{problem}</td></tr>')
        elif prediction.familiar:
            percent = _percent(prediction.probabilities[prediction.label])
            rows.append(f"<tr>{name}<td>{html.escape(prediction.label)}</td><td>{percent}</td></tr>")
        else:
            rows.append(
                f'<tr class="strange">{name}<td>{html.escape(translate("not_sure", language))}</td><td>–</td></tr>'
            )
    return (
        '<div class="scroll" tabindex="0" role="group"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _thumbnail(thumbnail: Thumbnail, language: str) -> str:
    alt = translate_html("nearest_alt", language, label=thumbnail.label)
    # Without a creator, the site that it is from; without a licence, it is the owner's.
    origin = thumbnail.creator or ("" if thumbnail.license_id else translate("own", language))
    named = (
        _link(html.escape(origin or _site(thumbnail.page_url)), thumbnail.page_url),
        _link(html.escape(thumbnail.license_id), thumbnail.license_url),
    )
    credit = ", ".join(filter(None, named))
    return (
        f'<figure><img src="{_data_url(thumbnail.jpeg)}" alt="{alt}" loading="lazy">'
        f"<figcaption><b>{html.escape(thumbnail.label)}</b> {credit}</figcaption></figure>"
    )


def _percent(share: float) -> str:
    # Nothing is quite certain.
    return html.escape(percent(share, 0, "open"))


def _link(text: str, url: str) -> str:
    if not (text and _site(url)):
        return text
    return f'<a href="{html.escape(url, quote=True)}" target="_blank" rel="noopener nofollow">{text}</a>'


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
