/** The shares in which labels come, as an address names them: `?prior=grizzly:0.8,black:0.2`. */

// Shares may add up to so much more or less than 1.
const SLACK = 0.01;

/** Read them; undefined where it is nothing of the kind, names a label twice or an unknown one, or does not add up. */
export function readPrior(text: string, labels: readonly string[]): Record<string, number> | undefined {
  const parts = [...text.matchAll(/(.+?):([^:,]*)(?:,|$)/g)];
  if (!text || parts.map(([whole]) => whole).join("") !== text) return undefined;
  const named = new Map<string, number>();
  for (const [, label = "", share = ""] of parts) {
    const name = label.trim();
    const value = share.trim() === "" ? Number.NaN : Number(share);
    if (named.has(name) || !labels.includes(name) || !Number.isFinite(value) || value < 0) return undefined;
    named.set(name, value);
  }
  const total = [...named.values()].reduce((sum, share) => sum + share, 0);
  if (Math.abs(total - 1) > SLACK + 1e-9) return undefined;
  return Object.fromEntries(labels.map((label) => [label, (named.get(label) ?? 0) / total]));
}
