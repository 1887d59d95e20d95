/** One tab at a time changes what is kept: two would overwrite each other's work. */

/** What happens to a tab. */
export interface Turns {
  /** It is this tab's turn now: what is kept may have changed meanwhile. */
  mine(): void;
  /** Another tab has it. `take` takes it away from there. */
  others(take: () => void): void;
}

/** Ask for this tab's turn, and go on asking. @param name what the tabs share. */
export async function takeTurns(name: string, turns: Turns): Promise<void> {
  const held = (how: LockOptions): Promise<unknown> =>
    navigator.locks.request(name, how, (lock) => {
      if (!lock) return "taken";
      turns.mine();
      // Held until the tab is closed, or another takes it.
      return new Promise(() => undefined);
    });
  let how: LockOptions = { ifAvailable: true };
  for (;;) {
    try {
      if ((await held(how)) !== "taken") return;
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) throw error;
    }
    // The other tab may be closed, or this one is told to take over; whichever comes first.
    const waiting = new AbortController();
    const chosen = new Promise<LockOptions>((resolve) => {
      turns.others(() => {
        waiting.abort();
        resolve({ steal: true });
      });
    });
    how = await Promise.race([chosen, whenFree(name, waiting.signal, chosen)]);
  }
}

async function whenFree(name: string, signal: AbortSignal, otherwise: Promise<LockOptions>): Promise<LockOptions> {
  try {
    await navigator.locks.request(name, { signal }, () => undefined);
  } catch {
    return otherwise;
  }
  return { ifAvailable: true };
}
