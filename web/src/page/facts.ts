/** What is known of a model before its network is here. */

/** An example: where it is, a smaller copy, if there is one, and the hash that its revision gave it. */
export interface Example {
  address: string;
  small: string;
  sha256: string | undefined;
}

/** As `model.json` and `site.json` have it. `examples` are by their labels. */
export interface Facts {
  labels: string[];
  examples: Record<string, Example>;
  summary: string;
  /** The shares in which the labels were learnt; empty in older revisions, which take no prior. */
  shares: number[];
  revision: string;
  /** Whether both files came. */
  isWhole: boolean;
}

interface ModelJson {
  labels: string[];
  examples: Record<string, string>;
  summary: string;
  shares: number[];
  sha256: Record<string, string>;
}

/** Read it from a site's folder, as far as it is there. What is wrong with the files is said when the model is loaded. */
export async function readFacts(base: URL): Promise<Facts> {
  const [model, site] = await Promise.all([
    read<ModelJson>("model/model.json", base),
    read<{ revision?: string; files?: Record<string, unknown> }>("site.json", base),
  ]);
  const isThere = (path: string): boolean => path in (site.files ?? {});
  const examples = Object.entries(model.examples ?? {})
    // Older revisions may have none of the files.
    .filter(([, file]) => isThere(`model/${file}`))
    .map(([label, file]) => {
      const address = new URL(`model/${file}`, base).href;
      const small = isThere(`examples/${file}`) ? new URL(`examples/${file}`, base).href : address;
      return [label, { address, small, sha256: model.sha256?.[file] }] as const;
    });
  return {
    labels: model.labels ?? [],
    examples: Object.fromEntries(examples),
    summary: model.summary ?? "",
    shares: model.shares ?? [],
    revision: site.revision ?? "",
    isWhole: model.labels !== undefined && site.revision !== undefined,
  };
}

async function read<T extends object>(path: string, base: URL): Promise<Partial<T>> {
  try {
    const answer = await fetch(new URL(path, base));
    return answer.ok ? ((await answer.json()) as T) : {};
  } catch {
    return {};
  }
}
