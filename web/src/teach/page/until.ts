/** Waiting that somebody may end. */

/** What is waited for, or the signal's reason as soon as that is given. */
export function until<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  // Nobody may be waiting for it any longer.
  promise.catch(() => undefined);
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener("abort", stop);
    });
  });
}
