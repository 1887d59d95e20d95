/** What is known of a model before its network is here. */

/** As `model.json` and `site.json` have it. `examples` maps labels to addresses of pictures. */
export interface Facts {
  labels: string[];
  examples: Record<string, string>;
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
  const examples = Object.entries(model.examples ?? {})
    .map(([label, file]) => [label, `model/${file}`] as const)
    // Older revisions may have none of the files.
    .filter(([, path]) => path in (site.files ?? {}))
    .map(([label, path]) => [label, new URL(path, base).href]);
  return {
    labels: model.labels ?? [],
    examples: Object.fromEntries(examples) as Record<string, string>,
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
