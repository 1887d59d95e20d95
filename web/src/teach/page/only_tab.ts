/** One tab at a time changes what is kept: two would overwrite each other's work. */

// As long as a tab may need to end what it does; then it is taken for dead.
const PATIENCE_MS = 20_000;
// A tab that was asked to end gets its turn back after this if nobody takes it.
const TAKEN_MS = 2000;

/** What happens to a tab. */
export interface Turns {
  /** It is this tab's turn now: what is kept may have changed meanwhile. */
  mine(): void;
  /** Another tab is about to have it. What this one does has ended, or goes on without any change, when this ends. */
  end(): Promise<void>;
  /** Another tab has it. `take` takes it away from there. */
  others(take: () => void): void;
}

/** Ask for this tab's turn, and go on asking. @param name what the tabs share. */
export async function takeTurns(name: string, turns: Turns): Promise<void> {
  const held = (how: LockOptions, signal: AbortSignal): Promise<unknown> =>
    navigator.locks.request(name, how, async (lock) => {
      if (!lock) return "taken";
      turns.mine();
      // Held until the tab is closed, or another has asked for it.
      await whenAsked(name, signal, () => turns.end());
      // Whoever asked takes it now.
      await new Promise((resolve) => setTimeout(resolve, TAKEN_MS));
      return "taken";
    });
  let how: LockOptions = { ifAvailable: true };
  for (;;) {
    const turn = new AbortController();
    try {
      if ((await held(how, turn.signal)) !== "taken") return;
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) throw error;
    } finally {
      turn.abort();
    }
    // The other tab may be closed, or this one is told to take over; whichever comes first.
    const waiting = new AbortController();
    const chosen = new Promise<LockOptions>((resolve) => {
      turns.others(() => {
        void asked(name).then(() => {
          waiting.abort();
          resolve({ steal: true });
        });
      });
    });
    how = await Promise.race([chosen, whenFree(name, waiting.signal, chosen)]);
  }
}

/** Wait until another tab asks for the turn, end, and tell it. @param signal the turn is over. */
function whenAsked(name: string, signal: AbortSignal, end: () => Promise<void>): Promise<void> {
  const channel = new BroadcastChannel(name);
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => {
      channel.close();
    });
    channel.onmessage = ({ data }) => {
      if (data !== "ask") return;
      void end().finally(() => {
        if (!signal.aborted) channel.postMessage("ended");
        resolve();
      });
    };
  });
}

/** Ask the tab whose turn it is to end, and wait until it has; one that does not answer is not waited for without end. */
async function asked(name: string): Promise<void> {
  const channel = new BroadcastChannel(name);
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, PATIENCE_MS);
    channel.onmessage = ({ data }) => {
      if (data !== "ended") return;
      clearTimeout(timer);
      resolve();
    };
    channel.postMessage("ask");
  });
  channel.close();
}

async function whenFree(name: string, signal: AbortSignal, otherwise: Promise<LockOptions>): Promise<LockOptions> {
  try {
    await navigator.locks.request(name, { signal }, () => undefined);
  } catch {
    return otherwise;
  }
  return { ifAvailable: true };
}
