"""A window that one test after the other gets as if it were new."""

import contextlib
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Request

from tests.helpers.browser import DESKTOP
from tests.helpers.visit import Visit

# A frame without an address, or of a file, has none.
_FORGET_SESSION = "if (location.protocol.startsWith('http')) sessionStorage.clear()"


class Window:
    """One that tests use one after the other, emptied in between.

    What was compiled for a page stays with the process that shows it, and what may be cached in the cache of its
    context. So a page of Gradio opens here for a quarter of what it costs in a new window, and for a half when its
    server has another port. What a first visit shows is asked in a new one.
    """

    def __init__(self, browser: Browser, **options: object) -> None:
        self.context = browser.new_context(viewport=DESKTOP, **options)
        self.page = self.context.new_page()
        self._origins: set[str] = set()
        self.page.on("request", self._note)

    @contextlib.contextmanager
    def visiting(
        self,
        address: str = "about:blank",
        viewport: dict[str, int] = DESKTOP,
        color_scheme: str = "light",
        locale: str | None = None,
        permissions: Sequence[str] = (),
        script: str = "",
    ) -> Iterator[Visit]:
        """A visit, after which nothing is left that another page could find.

        `script` runs in each page before all else. `locale` is that of the site; what it frames from another site has
        that of the window.
        """
        page, context = self.page, self.context
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=color_scheme)
        if permissions:
            context.grant_permissions(permissions)
        protocol = context.new_cdp_session(page)
        if locale:
            # As Playwright does it for a new window. It ends with the session.
            agent = page.evaluate("navigator.userAgent")
            protocol.send("Emulation.setLocaleOverride", {"locale": locale})
            protocol.send("Emulation.setUserAgentOverride", {"userAgent": agent, "acceptLanguage": locale})
        if script:
            # Playwright takes none back. It ends with the session.
            protocol.send("Page.enable")
            protocol.send("Page.addScriptToEvaluateOnNewDocument", {"source": script})
        visit = Visit(page)
        listeners = visit.hear()
        try:
            page.goto(address)
            yield visit
        finally:
            for event, listener in listeners.items():
                page.remove_listener(event, listener)
            for other in context.pages:
                if other is not page:
                    other.close()
            page.unroute_all()
            for frame in page.frames:
                frame.evaluate(_FORGET_SESSION)
            page.goto("about:blank")
            context.clear_permissions()
            for origin in self._origins:
                protocol.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
            self._origins.clear()
            protocol.detach()

    def _note(self, asked: Request) -> None:
        parts = urlsplit(asked.url)
        if parts.scheme in {"http", "https"}:
            self._origins.add(f"{parts.scheme}://{parts.netloc}")
