"""A window that one test after the other gets as if it were new."""

import contextlib
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Request

from tests.helpers.browser import DESKTOP
from tests.helpers.visit import Visit


class Window:
    """One that tests use one after the other, emptied in between.

    What was compiled for a page stays with the process that shows it, and what may be cached in the cache of its
    context. So a page of Gradio opens here for a quarter of what it costs in a new window, and for a half when its
    server has another port. What a first visit shows is asked in a new one.
    """

    def __init__(self, browser: Browser, **options: object) -> None:
        self.context = browser.new_context(viewport=DESKTOP, **options)
        self.page = self.context.new_page()
        self._beside = [self.page]
        self._origins: set[str] = set()
        self.page.on("request", self._note)
        self._stays, self._what = contextlib.ExitStack(), ()

    def staying(self, address: str, **options: object) -> Visit:
        """A visit that is there for the next test that asks for the same, until another one wants the window."""
        if self._what[:1] != ((address, options),):
            self.leave()
            self._what = (address, options), self._stays.enter_context(self._visiting(address, **options))
        return self._what[1]

    def hold(self, address: str) -> None:
        """Keep a tab of a site open: what is framed from that site finds its process, and what was compiled there."""
        self._beside.append(self.context.new_page())
        self._beside[-1].goto(address)

    def leave(self) -> None:
        """End the visit that stays."""
        self._what = ()
        self._stays.close()

    def visiting(self, address: str = "about:blank", **options: object) -> contextlib.AbstractContextManager[Visit]:
        """A visit, after which nothing is left that another page could find."""
        self.leave()
        return self._visiting(address, **options)

    @contextlib.contextmanager
    def _visiting(
        self,
        address: str,
        viewport: dict[str, int] = DESKTOP,
        color_scheme: str = "light",
        locale: str | None = None,
        permissions: Sequence[str] = (),
        script: str = "",
    ) -> Iterator[Visit]:
        """A script runs in each page before all else. What a site frames from another one has the window's locale."""
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
                if other not in self._beside:
                    other.close()
            page.unroute_all()
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
