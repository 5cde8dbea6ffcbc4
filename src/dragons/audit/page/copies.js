// What a header repeats from its statement: the two must agree, or one of them was made up.

import { isA, nameOf } from "./documents.js";
import { plain, versionName } from "./leases.js";

/** The field in which a header contradicts the statement it repeats, null when they agree. */
export function contradiction(header, body) {
  if (isA(body, "Policy")) return header.agent === (body.agent === "*" ? undefined : body.agent) ? null : "agent";
  const pairs = FORMATS.copied[nameOf(body)];
  if (!pairs) return null;
  const differs = pairs.find(([mine, its]) => plain(header[mine]) !== plain(body[its]));
  if (differs) return differs[0];
  if (isA(body, "Abandonment") && header.outcome !== "abandoned") return "outcome";
  if (isA(body, "Lease", "Activation") && header.agent !== versionName(body.agent, body.version)) return "agent";
  if (isA(body, "Intervention") && body.agent !== undefined && header.agent !== body.agent) return "agent";
  if (isA(body, "Registration") && header.agent !== versionName(body.manifest.agent, body.version)) return "agent";
  return null;
}
