"""A site on a static Space: nothing runs there but files are served, so it is free and never sleeps."""

import gzip
import time
from collections.abc import Callable, Mapping

import httpx2

from spotter.deploy.space import BUILD_PATIENCE_S, CARD, LOOK, REQUEST_S, SMOKE_PATIENCE_S, put_back, space_card
from spotter.deploy.space_repo import STATIC, SpaceRepo, SpaceState
from spotter.errors import SpaceFailed, SpotterError
from spotter.inference.predictor import Predictor
from spotter.web.browser import Browser
from spotter.web.live import ask_site
from spotter.web.packing import PACKED
from spotter.web.site import SITE_JSON, read_site
from spotter.web.teach import PAGE, HubPlace

# With these a page may use threads, and pages of others may still show its files.
HEADERS = {
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "cross-origin",
}
SERVED = {"sdk": STATIC, "app_file": "index.html", "custom_headers": HEADERS}
FILE_PATIENCE_S = 60.0
# Visitors sign in with these, to make Spaces of what they taught; the app gets at no others of theirs.
OAUTH = {"hf_oauth": True, "hf_oauth_scopes": ["contribute-repos"]}
# Where browsers send what is large; as a content security policy writes it.
HUB_STORAGE = ("https://*.hf.co",)


def hub_place(endpoint: str, storage: tuple[str, ...] = HUB_STORAGE) -> HubPlace:
    """The Hub that visitors of a site's page teach/ may sign in to; `endpoint` is its address."""
    return HubPlace(endpoint, storage, {**LOOK, **SERVED, **OAUTH})


def plan_static(store: str, predictor: Predictor, site: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a static Space: a site, and the card that says what it serves.

    Args:
        store: `hf://owner/name` of the model.
    """
    card = space_card(
        predictor.card,
        store,
        str(predictor.revision),
        **SERVED,
        **(OAUTH if PAGE in site else {}),
    )
    return {**site, CARD: card.encode()}


def deploy_static(
    space: SpaceRepo,
    files: Mapping[str, bytes],
    before: SpaceState | None,
    predictor: Predictor,
    browser: Browser,
    title: str,
    say: Callable[[str], None],
    *,
    build_patience_s: float = BUILD_PATIENCE_S,
    smoke_patience_s: float = SMOKE_PATIENCE_S,
) -> str:
    """Put a site on a Space, wait for it, and try it in a browser; put back what was there if it fails. Return its
    address.

    Args:
        title: of the commit.

    Raises:
        SpaceFailed: it is not served, or does not answer as the model does here; what was there before is back.
        PaymentRequired, AccessRefused, StoreUnreachable, StoreUnwritable, LostRace: the Hub does not take it.
    """
    if before is None:
        space.create(None, "write the site to a folder with spotter web, and put it on another host of files")
    commit = None
    try:
        commit = space.push(files, before, title)
        url = space.wait(commit, build_patience_s, say)
        check_files(url, files, smoke_patience_s)
        found = ask_site(url, predictor, browser)
        if complaint := found.complaint(predictor.network):
            raise SpaceFailed(f"{url}: {complaint}.")
        say(found.sentence())
    except SpotterError as error:
        if commit is None:
            raise
        raise SpaceFailed(f"{str(error).rstrip('.')}; {put_back(space, before, commit, ())}.") from error
    return url


def check_files(url: str, files: Mapping[str, bytes], patience_s: float = SMOKE_PATIENCE_S) -> None:
    """Wait until an address serves this site and no earlier one, then compare every file.

    Raises:
        SpaceFailed: it does not, or a file is missing or another one.
    """
    site = read_site(files[SITE_JSON]) or {}
    with httpx2.Client(timeout=FILE_PATIENCE_S, follow_redirects=True) as client:
        _wait_for_site(client, url, files[SITE_JSON], str(site.get("revision")), patience_s)
        for name in sorted(site["files"].keys() | {"sw.js"} & files.keys()):
            try:
                answer = client.get(f"{url}/{name}")
            except httpx2.HTTPError as error:
                raise SpaceFailed(f"{url} does not give {name} ({type(error).__name__}).") from error
            if answer.status_code != 200:
                raise SpaceFailed(f"{url} does not give {name} (HTTP {answer.status_code}).")
            if not _is_same(name, answer.content, files[name]):
                raise SpaceFailed(f"{url} gives another {name} than was put there.")


def _wait_for_site(client: httpx2.Client, url: str, wanted: bytes, revision: str, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            found = client.get(f"{url}/{SITE_JSON}", timeout=REQUEST_S, headers={"Cache-Control": "no-cache"})
            if found.content == wanted:
                return
            other = read_site(found.content)
            told = "shows no site"
            if other:
                # The same one may have been made anew, by another version.
                told = f"shows the site of the revision {other.get('revision')}, not this one of {revision}"
        except httpx2.HTTPError:
            told = f"does not answer at /{SITE_JSON}"
        if time.monotonic() >= deadline:
            raise SpaceFailed(f"{url} {told}.")
        time.sleep(min(1.0, patience_s / 10))


def _is_same(name: str, given: bytes, wanted: bytes) -> bool:
    if given == wanted:
        return True
    if name.endswith(PACKED):
        # A server may unpack them itself.
        return given == gzip.decompress(wanted)
    if name.endswith(".html"):
        # The Hub puts the variables of a Space into a page, in a script.
        lines = iter(given.decode("utf-8", "replace").splitlines())
        return all(any(line in other for other in lines) for line in wanted.decode().splitlines())
    return False
