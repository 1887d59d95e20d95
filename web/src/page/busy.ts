/**
 * Buttons that do nothing while what they began goes on. One that is disabled loses the focus, and with it the place of
 * whoever uses no mouse.
 */

/** Do something when a button is pressed, but not while it is busy. */
export function whenPressed(button: HTMLButtonElement, work: () => Promise<void>): void {
  button.addEventListener("click", () => {
    if (button.ariaDisabled !== "true") void work();
  });
}

export function setBusy(isBusy: boolean, ...buttons: HTMLButtonElement[]): void {
  for (const button of buttons) button.ariaDisabled = isBusy ? "true" : null;
}
