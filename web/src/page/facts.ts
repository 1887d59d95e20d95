/** What is known of a model before its network is here. */

/** An example: where it is, and a smaller copy, if there is one. */
export interface Example {
  address: string;
  small: string;
}

/** As `model.json` and `site.json` have it. `examples` are by their labels. */
export interface Facts {
  labels: string[];
  examples: Record<string, Example>;
  summary: string;
  /** The shares in which the labels were learnt; empty in older revisions, which take no prior. */
  shares: number[];
  revision: string;
}

/** Read it from a site's folder. What is wrong with the files is said when the model is loaded. */
export async function readFacts(base: URL): Promise<Facts> {
  const [model, site] = await Promise.all([
    read<{ labels?: string[]; examples?: Record<string, string>; summary?: string; shares?: number[] }>("model/model.json", base),
    read<{ revision?: string; files?: Record<string, unknown> }>("site.json", base),
  ]);
  const isThere = (path: string): boolean => path in (site.files ?? {});
  const examples = Object.entries(model.examples ?? {})
    // Older revisions may have none of the files.
    .filter(([, file]) => isThere(`model/${file}`))
    .map(([label, file]) => {
      const address = new URL(`model/${file}`, base).href;
      return [label, { address, small: isThere(`examples/${file}`) ? new URL(`examples/${file}`, base).href : address }] as const;
    });
  return {
    labels: model.labels ?? [],
    examples: Object.fromEntries(examples),
    summary: model.summary ?? "",
    shares: model.shares ?? [],
    revision: site.revision ?? "",
  };
}

async function read<T extends object>(path: string, base: URL): Promise<Partial<T>> {
  const answer = await fetch(new URL(path, base));
  if (!answer.ok) return {};
  try {
    return (await answer.json()) as T;
  } catch {
    return {};
  }
}
