/** Tabs as the ARIA pattern has them: one stop for the keyboard, arrows between them. */

/** Make the buttons of a tab list work. `opened` is told the panel's id. */
export function workTabs(list: HTMLElement, opened: (panel: string) => void): void {
  const tabs = [...list.querySelectorAll<HTMLButtonElement>("[role=tab]")];
  const open = (chosen: HTMLButtonElement): void => {
    for (const tab of tabs) {
      const isChosen = tab === chosen;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute("aria-controls") ?? "");
      if (panel) panel.hidden = !isChosen;
    }
    opened(chosen.getAttribute("aria-controls") ?? "");
  };
  for (const tab of tabs) {
    tab.addEventListener("click", () => {
      open(tab);
    });
  }
  list.addEventListener("keydown", (event) => {
    const now = tabs.findIndex((tab) => tab === document.activeElement);
    const places: Record<string, number> = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: tabs.length - 1 };
    const next = places[event.key];
    const tab = next === undefined ? undefined : tabs.at(next % tabs.length);
    if (!tab) return;
    event.preventDefault();
    tab.focus();
    open(tab);
  });
}
