// <spotter-app src="https://your-app" theme="light">: the app on a page of another site, in a frame as high as its
// content. It adds no style to that page. `src` is left out where this script comes from the app itself.
(() => {
  if (customElements.get("spotter-app")) return;
  const from = document.currentScript?.src;
  // As high as the app is at first, on wide and on narrow pages, so that nothing moves when it is there.
  const HEIGHT = { least: 120, wide: 340, narrow: 440, most: 6000 };

  class SpotterApp extends HTMLElement {
    static observedAttributes = ["src", "theme", "lang", "title"];

    connectedCallback() {
      if (!this.frame) {
        // In a shadow tree the page's own rules for frames do not reach it. Its styles are set one by one, because a
        // page may forbid style elements.
        this.frame = document.createElement("iframe");
        Object.assign(this.frame, { loading: "lazy", allow: "camera; clipboard-read; clipboard-write" });
        Object.assign(this.frame.style, { display: "block", width: "100%", border: "0", borderRadius: "12px" });
        // A page that is isolated (COOP and COEP) shows no frame of another site but one that gets no cookies.
        if (globalThis.crossOriginIsolated) this.frame.credentialless = true;
        this.attachShadow({ mode: "open" }).append(this.frame);
        if ("replaceSync" in CSSStyleSheet.prototype) {
          // In a row or a column of the page it would else be as narrow as a frame is by itself. It takes the room that is
          // left, and no more. Rules of the page for this element go before.
          const sheet = new CSSStyleSheet();
          sheet.replaceSync(":host { width: 100%; min-width: 0; flex-shrink: 9999; box-sizing: border-box; }");
          this.shadowRoot.adoptedStyleSheets = [sheet];
        }
        if (!this.style.display) this.style.display = "block";
        this.frame.style.height = `${this.clientWidth < 640 ? HEIGHT.narrow : HEIGHT.wide}px`;
      }
      this.hear = (event) => {
        // Any page may send messages; only the app in this very frame says how high it is.
        if (event.source !== this.frame.contentWindow || event.origin !== this.address?.origin) return;
        const height = Number(event.data?.spotterHeight);
        if (height >= HEIGHT.least) this.frame.style.height = `${Math.min(Math.ceil(height), HEIGHT.most)}px`;
      };
      addEventListener("message", this.hear);
      this.load();
    }

    disconnectedCallback() {
      removeEventListener("message", this.hear);
    }

    attributeChangedCallback() {
      if (this.frame) this.load();
    }

    load() {
      const given = this.getAttribute("src") || (from && new URL(".", from).href);
      let address;
      try { address = new URL(given, document.baseURI); } catch { return; }
      if (!/^https?:$/.test(address.protocol)) return;
      const theme = this.getAttribute("theme"), language = this.getAttribute("lang");
      address.searchParams.set("embed", "1");
      address.searchParams.set("__theme", ["dark", "system"].includes(theme) ? theme : "light");
      this.frame.style.colorScheme = theme === "dark" ? "dark" : "light";
      if (language) address.searchParams.set("lang", language);
      this.frame.title = this.getAttribute("title") || this.textContent.trim() || address.host;
      if (this.address?.href === address.href) return;
      this.address = address;
      this.frame.src = address.href;
    }
  }
  customElements.define("spotter-app", SpotterApp);
})();
