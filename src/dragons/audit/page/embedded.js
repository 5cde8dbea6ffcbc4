// The pack inside of this page: its entries, deflated, in elements that no browser runs.

import { Refused, fromBase64 } from "./bytes.js";
import { inflate } from "./inflate.js";
import { EvidencePack } from "./pack.js";

/** The pack that this page was built with; null when it holds none. */
export async function embeddedPack() {
  const elements = [...document.querySelectorAll("script[data-entry]")];
  if (!elements.length) return null;
  const entries = new Map();
  for (const { dataset, textContent } of elements) {
    const packed = fromBase64(textContent);
    const { bytes } = await inflate(packed ?? new Uint8Array(), Number(dataset.bytes));
    const cut = bytes.length !== Number(dataset.bytes);
    entries.set(dataset.entry, { bytes, error: cut ? new Refused("pack_damaged", "The data in this page is damaged.") : null });
  }
  return new EvidencePack(entries);
}
