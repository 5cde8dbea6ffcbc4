// Is a file the evidence that a receipt names? Its SHA-256, compared in this page.

import { code, el, show } from "./dom.js";
import { sha256Hex } from "./keys.js";

/** Compare `file` with the evidence of `story`; `go` leads to a receipt. */
export async function compareFile(result, file, story) {
  show(result, el("p", {}, `Hashing ${file.name}…`));
  const digest = await sha256Hex(new Uint8Array(await file.arrayBuffer()));
  const indices = story.evidence().get(digest) ?? [];
  const where = indices.slice(0, 20).map((index) => el("button", { class: "link", type: "button", data: { go: index } }, `receipt ${index}`));
  const more = indices.length > 20 ? ` and ${indices.length - 20} more` : "";
  show(
    result,
    el("p", { class: indices.length ? "match" : "no-match" },
      indices.length ? `${file.name} is evidence of ` : `No receipt in this pack names ${file.name}.`,
      where.flatMap((one, at) => (at ? [", ", one] : [one])), more),
    el("p", { class: "digest" }, code(digest)),
  ); // prettier-ignore
}
