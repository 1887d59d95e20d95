/** Asks the sources of pictures, and fetches what they found. */

import { MOST_BYTES } from "../../page/limits.js";
import { SourceTrouble, type Found, type Source } from "./found.js";

const PATIENCE_MS = 20_000;
// Of the text of an answer, in characters; those that were recorded have 40,000.
const MOST_TEXT = 4_000_000;
const ASKED: RequestInit = { credentials: "omit", referrerPolicy: "no-referrer" };

/**
 * A page of results, counted from 0; none behind the last.
 *
 * @throws SourceTrouble @throws DOMException: `signal` ended it.
 */
export async function askSource(source: Source, query: string, page: number, signal: AbortSignal): Promise<Found[]> {
  const address = source.address(query, page);
  if (!address) return [];
  const answer = await reach(address, signal);
  if (answer.status === 429) throw new SourceTrouble("busy");
  if (!answer.ok) throw new SourceTrouble("unreachable");
  try {
    const text = await answer.text();
    if (text.length > MOST_TEXT) throw new SourceTrouble("nonsense");
    return source.read(JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError) throw new SourceTrouble("nonsense");
    throw asTrouble(error, signal);
  }
}

/**
 * The bytes of a picture that was found.
 *
 * @throws SourceTrouble @throws DOMException: `signal` ended it.
 */
export async function fetchPicture(found: Found, signal: AbortSignal): Promise<Blob> {
  const answer = await reach(new URL(found.fetch_url), signal);
  if (answer.status === 429) throw new SourceTrouble("busy");
  const told = Number(answer.headers.get("content-length") ?? 0);
  if (!answer.ok || told > MOST_BYTES) throw new SourceTrouble("unreachable");
  try {
    return await answer.blob();
  } catch (error) {
    throw asTrouble(error, signal);
  }
}

async function reach(address: URL, signal: AbortSignal): Promise<Response> {
  try {
    return await fetch(address, { ...ASKED, signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]) });
  } catch (error) {
    // Down, too slow, or not for other sites: a browser does not tell which.
    throw asTrouble(error, signal);
  }
}

function asTrouble(error: unknown, signal: AbortSignal): Error {
  if (error instanceof SourceTrouble) return error;
  return signal.aborted ? (signal.reason as Error) : new SourceTrouble("unreachable");
}
