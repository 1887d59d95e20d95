"""The reviewers' page: an answer that waits, with its picture, to confirm or correct."""

import secrets
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from jinja2 import Environment, StrictUndefined
from starlette.concurrency import run_in_threadpool

from spotter.alerts import percent
from spotter.errors import LogUnwritable, QueueUnwritable
from spotter.service import ModelInfo

NONE = "none"
# What became of a decision; a number in the address, so that nobody can write into the page.
TOLD = {
    "1": "Noted. The picture is deleted.",
    "2": "Somebody else was first, or the visitor took it back.",
    "3": "That was no answer; nothing was noted.",
    "4": "It could not be noted: see the app's log.",
}


def add_desk(pages: FastAPI, info: ModelInfo, base: str) -> None:
    """Add the page at "/review" to what is behind the password; `base` is its whole address."""
    pages.add_api_route("/review", _page(info, base), methods=["GET"])
    pages.add_api_route("/review", _decide(info, base), methods=["POST"])
    pages.add_api_route("/review/{ticket}.jpg", _picture(info), methods=["GET"])


def _page(info: ModelInfo, base: str) -> Callable[..., Any]:
    queue, rollout = info.extras.waiting, info.extras.rollout
    # Not a file beside the others: a Space gets modules alone.
    settings: dict[str, Any] = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True}
    page = Environment(**settings, lstrip_blocks=True).from_string(_PAGE)  # noqa: S701

    async def show(told: str = "") -> Response:
        entries = [entry for entry, _ in await run_in_threadpool(queue.read)] if queue else []
        # What another revision said may have other labels; it waits for its own app.
        mine = [entry for entry in entries if entry.label in info.labels]
        nonce = secrets.token_urlsafe(16)
        text = page.render(
            percent=percent,
            title=info.title,
            stage=rollout.stage if rollout else "",
            labels=info.labels,
            entries=len(mine),
            entry=mine[0] if mine else None,
            told=TOLD.get(told, ""),
            base=base,
            nonce=nonce,
        )
        policy = (
            f"default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        return Response(text, media_type="text/html", headers={"Content-Security-Policy": policy})

    return show


def _decide(info: ModelInfo, base: str) -> Callable[..., Any]:
    queue, labels = info.extras.waiting, info.labels

    async def decide(request: Request) -> Response:
        fields = parse_qs((await request.body()).decode("utf-8", "replace"))
        ticket, said = fields.get("ticket", [""])[0], fields.get("said", [""])[0]
        if said not in {NONE, *map(str, range(len(labels)))} or not queue:
            told = "3"
        else:
            label = None if said == NONE else labels[int(said)]
            try:
                told = "1" if await run_in_threadpool(queue.decide, ticket, label) else "2"
            except (LogUnwritable, QueueUnwritable) as error:
                print(f"app.py: {error}", file=sys.stderr, flush=True)
                told = "4"
        # After a redirect, loading the page again decides nothing again.
        return RedirectResponse(f"{base}?told={told}", 303)

    return decide


def _picture(info: ModelInfo) -> Callable[..., Any]:
    queue = info.extras.waiting

    async def picture(ticket: str) -> Response:
        content = await run_in_threadpool(queue.picture, ticket) if queue else None
        if content is None:
            return Response("It does not wait any more.", 404, media_type="text/plain")
        return Response(content, media_type="image/jpeg")

    return picture


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ entries }} to review – {{ title }}</title>
<style>
:root {
  --ground: #f7f5f0; --card: #fff; --ink: #26241f; --soft: #625d52; --line: #e2ddd1; --green: #2f5d4a;
  --wash: #e8efe9; --amber: #8a4b08; --amber-wash: #fbf0e0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #171915; --card: #21241f; --ink: #ece9e1; --soft: #aaa698; --line: #363a33; --green: #8fc4aa;
    --wash: #263129; --amber: #eeb467; --amber-wash: #33291b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 66rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1, h2, h3 { line-height: 1.25; text-wrap: balance; }
h1 { margin: 0 0 .5rem; font-size: 1.75rem; color: var(--green); }
p { margin: .35rem 0; max-width: 44rem; }
.soft { color: var(--soft); }
main { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 1.5rem; align-items: start; }
@media (max-width: 44rem) { main { grid-template-columns: minmax(0, 1fr); } body { padding: 1rem 1rem 3rem; } }
img {
  display: block; width: 100%; max-height: 70vh; object-fit: contain; border-radius: .9rem; background: var(--card);
  border: 1px solid var(--line);
}
form { margin: 0; }
fieldset { border: 0; margin: 1.25rem 0 0; padding: 0; display: grid; gap: .5rem; }
legend { padding: 0; margin-bottom: .5rem; color: var(--soft); }
button {
  font: inherit; text-align: left; padding: .6rem .9rem; border-radius: .6rem; border: 1px solid var(--line);
  background: var(--card); color: var(--ink); cursor: pointer; display: flex; justify-content: space-between; gap: 1rem;
  overflow-wrap: anywhere; min-height: 2.75rem;
}
button:hover, button:focus-visible { border-color: var(--green); outline: 2px solid var(--green); outline-offset: 1px; }
button.confirm { background: var(--green); border-color: var(--green); color: var(--ground); font-weight: 600; }
kbd { font: inherit; opacity: .75; }
.told { padding: .6rem .9rem; border-radius: .6rem; background: var(--wash); }
.unsure { color: var(--amber); }
h2 { margin: 0 0 .25rem; font-size: 1.35rem; overflow-wrap: anywhere; }
</style>
</head>
<body>
<header>
<h1>{{ entries }} answer{{ "" if entries == 1 else "s" }} to review</h1>
<p class="soft"><bdi>{{ title }}</bdi>, stage <b>{{ stage }}</b>.
A picture is deleted as soon as you have decided about it.</p>
{% if told %}<p class="told" role="status">{{ told }}</p>{% endif %}
</header>
{% if entry %}
<main>
<img src="{{ base }}/{{ entry.ticket }}.jpg" alt="The picture to review">
<form method="post" action="{{ base }}">
<input type="hidden" name="ticket" value="{{ entry.ticket }}">
<h2{% if not entry.familiar %} class="unsure"{% endif %}>
{% if not entry.familiar %}Not sure; the closest is {% endif %}
<bdi>{{ entry.label }}</bdi>, {{ percent(entry.probabilities[entry.label]) }}</h2>
<p class="soft">What the model says. Sent {{ entry.time[:16] | replace("T", " ") }} UTC.</p>
<fieldset>
<legend>It is</legend>
{% if entry.familiar %}
<button class="confirm" name="said" value="{{ labels.index(entry.label) }}" data-key="Enter">
<bdi>{{ entry.label }}</bdi><kbd>Enter</kbd></button>
{% endif %}
{# What it was not sure of is not to be confirmed by habit. #}
{% for label in labels if label != entry.label or not entry.familiar %}
<button name="said" value="{{ labels.index(label) }}"{% if loop.index < 10 %} data-key="{{ loop.index }}"{% endif %}>
<bdi>{{ label }}</bdi>{% if loop.index < 10 %}<kbd>{{ loop.index }}</kbd>{% endif %}</button>
{% endfor %}
<button name="said" value="none" data-key="0"><span>none of these</span><kbd>0</kbd></button>
</fieldset>
</form>
</main>
<script nonce="{{ nonce }}">
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  // Enter on a button that has the focus is that button's.
  if (event.key === "Enter" && document.activeElement?.matches("button, a")) return;
  const button = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === event.key);
  if (button) { event.preventDefault(); button.click(); }
});
document.querySelector("form").addEventListener("submit", (event) => {
  // A second key must not decide about the next picture.
  if (document.body.dataset.sent) event.preventDefault();
  document.body.dataset.sent = "yes";
});
</script>
{% else %}
<p>Nothing waits for you. This page looks again every ten seconds.</p>
<script nonce="{{ nonce }}">setTimeout(() => location.replace("{{ base }}"), 10000);</script>
{% endif %}
</body>
</html>
"""
