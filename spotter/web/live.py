"""Asks a site that is served somewhere, in a browser, about some pictures."""

import base64
import json
from functools import partial

from spotter.inference.predictor import Predictor
from spotter.web.browser import Browser
from spotter.web.gate import Parity, compare, name_of, say_again
from spotter.web.self_test import choose_picture
from spotter.web.tabs import opened

PATIENCE_S = 180.0
ASK = """(async () => {
  const { load } = await import(new URL("spotter.js", document.baseURI).href);
  const model = await load(new URL("./", document.baseURI));
  const answers = [];
  for (const text of PICTURES) {
    answers.push(await model.classify(new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))])));
  }
  return { browser: navigator.userAgent, answers };
})()"""


def ask_site(url: str, predictor: Predictor, browser: Browser) -> Parity:
    """Open the page of a site at its address, ask it about the examples of its model and a picture about which the
    model is not sure, and compare with what the same model answers here.

    Raises:
        BrowserMissing, BrowserFailed: it cannot be opened, or does not work.
    """
    pictures = [choose_picture(predictor)[0], *(path.read_bytes() for path in sorted(predictor.examples.values()))]
    texts = json.dumps([base64.b64encode(picture).decode() for picture in pictures])
    with opened(browser, f"{url.rstrip('/')}/") as tab:
        told = tab.run(ASK.replace("PICTURES", texts), PATIENCE_S)
    expected = [[predictor.predict(picture).record()] for picture in pictures]
    answers = [[answer] for answer in told["answers"]]
    return compare(name_of(told["browser"]), answers, expected, again=partial(say_again, predictor))
