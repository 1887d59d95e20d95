/** A visitor's sign-in to the Hub. What it gives is kept until the tab is closed, and nowhere else. */

import type { SiteJson } from "../../files.js";
import { hubClient } from "./hub_client.js";

const ASKED = "spotter-hub-asked";
const SIGNED = "spotter-hub";

/** The Hub as the site names it. */
export type HubPlace = NonNullable<SiteJson["hub"]>;

/** Who is signed in. */
export interface Visitor {
  name: string;
  token: string;
}

/** The visitor, or somebody in the middle, did not let the sign-in come to its end. */
export class SignInRefused extends Error {}

/** What the Hub puts into the pages of a static Space; undefined elsewhere. */
export function clientId(): string | undefined {
  const { huggingface } = window as { huggingface?: { variables?: { OAUTH_CLIENT_ID?: unknown } } };
  const id = huggingface?.variables?.OAUTH_CLIENT_ID;
  return typeof id === "string" && id ? id : undefined;
}

/** The visitor who is signed in, as long as the Hub takes the token. */
export function visitor(): Visitor | undefined {
  const kept = sessionStorage.getItem(SIGNED);
  if (kept === null) return undefined;
  const { name, token, until } = JSON.parse(kept) as Visitor & { until: number };
  if (until > Date.now()) return { name, token };
  signOut();
  return undefined;
}

export function signOut(): void {
  sessionStorage.removeItem(SIGNED);
}

/** Leave for the Hub, which comes back to this page. @throws TypeError: no network. @throws HubApiError */
export async function signIn(hub: HubPlace): Promise<void> {
  const { oauthLoginUrl } = await hubClient();
  const secrets: { codeVerifier?: string; nonce?: string } = {};
  const redirectUrl = location.origin + location.pathname;
  const id = clientId();
  const url = await oauthLoginUrl({ hubUrl: hub.url, redirectUrl, localStorage: secrets, ...(id ? { clientId: id } : {}) });
  sessionStorage.setItem(ASKED, JSON.stringify(secrets));
  location.assign(url);
}

/**
 * What is left to do after the Hub came back; undefined if it did not.
 *
 * @throws SignInRefused @throws TypeError: no network. @throws HubApiError
 */
export async function finishSignIn(hub: HubPlace): Promise<Visitor | undefined> {
  const came = new URL(location.href);
  const answer = came.searchParams;
  if (!answer.has("code") && !answer.has("error")) return undefined;
  // Neither stays in the address, nor in what the browser remembers of it.
  history.replaceState(history.state, "", location.pathname);
  const asked = sessionStorage.getItem(ASKED);
  sessionStorage.removeItem(ASKED);
  if (asked === null) return undefined;
  if (answer.has("error")) throw new SignInRefused(answer.get("error") ?? "");
  const { HubApiError, oauthHandleRedirect } = await hubClient();
  const secrets = JSON.parse(asked) as { codeVerifier: string; nonce: string };
  try {
    const told = await oauthHandleRedirect({ hubUrl: hub.url, redirectedUrl: came.href, ...secrets });
    const { accessToken: token, accessTokenExpiresAt, userInfo } = told;
    const name = userInfo.preferred_username;
    sessionStorage.setItem(SIGNED, JSON.stringify({ name, token, until: accessTokenExpiresAt.getTime() }));
    return { name, token };
  } catch (error) {
    // It says so when the answer is to another question than this tab asked.
    if (error instanceof HubApiError || error instanceof TypeError) throw error;
    throw new SignInRefused("state", { cause: error });
  }
}
