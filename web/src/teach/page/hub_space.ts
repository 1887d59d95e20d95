/** A static Space of a visitor: made, and filled with a site in one commit, so that it is the old one or the new one. */

import type { SiteFile } from "../types.js";
import { hubClient } from "./hub_client.js";
import type { HubPlace, Visitor } from "./hub_visit.js";

const BEGUN = "spotter-hub-begun";
// As the Hub takes them.
const NAME = /^[a-z0-9](?:[\w.-]{0,94}[a-z0-9])?$/i;
const LONGEST_DESCRIPTION = 60;

/** There is something else of that name. */
export class NameTaken extends Error {}

/** The visitor does not want it. */
export class Unwanted extends Error {}

export interface Wish {
  /** Of the Space, without its owner. */
  name: string;
  title: string;
  labels: readonly string[];
  files: readonly SiteFile[];
  /** Asked before a site of ours is replaced. */
  mayReplace: (space: string) => boolean;
}

/** Whether a Space can be called that. */
export function isName(name: string): boolean {
  return NAME.test(name) && !/--|\.\./.test(name);
}

/**
 * Put a site on a Space. Returns the address of the Space.
 *
 * @throws NameTaken @throws Unwanted @throws TypeError: no network. @throws HubApiError
 */
export async function putOnSpace(hub: HubPlace, visitor: Visitor, wish: Wish): Promise<string> {
  const { HubApiError, commit, createRepo } = await hubClient();
  const space = `${visitor.name}/${wish.name}`;
  const common = { repo: { type: "space" as const, name: space }, hubUrl: hub.url, accessToken: visitor.token };
  let before: Before | undefined;
  // What this tab made, and could not fill, is nobody else's.
  if (begun() !== space) {
    try {
      await createRepo({ ...common, sdk: "static" });
      sessionStorage.setItem(BEGUN, space);
    } catch (error) {
      if (!(error instanceof HubApiError) || error.statusCode !== 409) throw error;
      before = await look(hub, visitor, space);
      if (!wish.mayReplace(space)) throw new Unwanted(space);
    }
  }
  const card = { path: "README.md", content: new Blob([writeCard(hub, wish)]) };
  const files = [...wish.files, card];
  const paths = new Set(files.map(({ path }) => path));
  await commit({
    ...common,
    title: `Put ${wish.title.slice(0, 60)} here`,
    ...(before ? { parentCommit: before.commit } : {}),
    operations: [
      ...files.map(({ path, content }) => ({ operation: "addOrUpdate" as const, path, content })),
      ...(before?.files ?? []).filter((path) => !paths.has(path)).map((path) => ({ operation: "delete" as const, path })),
    ],
  });
  if (begun() === space) sessionStorage.removeItem(BEGUN);
  return `${hub.url}/spaces/${space}`;
}

/** A Space with a site of ours. */
interface Before {
  commit: string;
  /** The files of that site that are there. */
  files: string[];
}

/** What a Space of this name holds. @throws NameTaken: something else than a site. @throws TypeError @throws HubApiError */
async function look(hub: HubPlace, { token }: Visitor, space: string): Promise<Before> {
  const { HubApiError } = await hubClient();
  const headers = { authorization: `Bearer ${token}` };
  const ask = async (path: string): Promise<unknown> => {
    const answer = await fetch(`${hub.url}/${path}`, { headers });
    // Somebody may have taken the name with a Space that this visitor may not see.
    if (answer.status === 404 || answer.status === 403) throw new NameTaken(space);
    if (!answer.ok) throw new HubApiError(answer.url, answer.status);
    return answer.json();
  };
  const { sha, siblings } = (await ask(`api/spaces/${space}`)) as { sha: string; siblings: { rfilename: string }[] };
  const there = new Set(siblings.map(({ rfilename }) => rfilename));
  if (!there.has("site.json")) throw new NameTaken(space);
  const site = (await ask(`spaces/${space}/resolve/${sha}/site.json`)) as { spotter?: unknown; files?: object };
  if (site.spotter === undefined || !site.files || !("spotter.js" in site.files)) throw new NameTaken(space);
  return { commit: sha, files: Object.keys(site.files).filter((path) => there.has(path)) };
}

function begun(): string | null {
  return sessionStorage.getItem(BEGUN);
}

/** The card, whose settings are those of the Space. Every value is written as JSON, which YAML reads. */
function writeCard(hub: HubPlace, { title, labels }: Wish): string {
  const described = `Tells apart ${labels.join(", ")}`;
  const settings = {
    title,
    ...hub.card,
    short_description:
      described.length <= LONGEST_DESCRIPTION ? described : `Tells ${labels.length} things apart, or says that it is not sure`,
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return `---\n${lines.join("\n")}\n---\n\nTaught in a browser, with Spotter. What it knows, and how often it is wrong: model/README.md\n`;
}
