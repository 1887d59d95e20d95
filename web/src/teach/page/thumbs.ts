/** Addresses in memory of pictures that are shown: one for each, freed when none shows it any longer. */

const addresses = new Map<Blob, string>();

/** The address of a picture. */
export function addressOf(picture: Blob): string {
  const known = addresses.get(picture);
  if (known) return known;
  const address = URL.createObjectURL(picture);
  addresses.set(picture, address);
  return address;
}

/** Free those that no image of the page shows. */
export function freeUnused(): void {
  const shown = new Set([...document.images].map(({ src }) => src));
  for (const [picture, address] of addresses) {
    if (shown.has(address)) continue;
    URL.revokeObjectURL(address);
    addresses.delete(picture);
  }
}
