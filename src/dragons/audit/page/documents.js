// Typed documents in canonical JSON, as dragons.core.canonical: exact fields, exact types, one encoding.
// FORMATS is written into the page when it is built, out of the structs that the control plane uses.

import { Refused, fromBase64, textOf } from "./bytes.js";

const NAME = Symbol("document");

/** True when `value` was read as a document of this name. */
export const isA = (value, ...names) => names.includes(value[NAME]);
export const nameOf = (value) => value[NAME];

/** The document `name` in `bytes`; Refused unless it is valid and byte for byte canonical. */
export function readDocument(name, bytes) {
  const [text, value] = parse(bytes);
  const document = readStruct(name, value);
  // What JSON.parse keeps (order of keys) and what it loses (spelling, repeated keys) both show here.
  if (JSON.stringify(value) !== text) throw notCanonical(name);
  return document;
}

/** The list of documents `name` in `bytes`, equally strict. */
export function readDocuments(name, bytes) {
  const [text, value] = parse(bytes);
  if (!Array.isArray(value)) throw notDocument("not a list");
  const documents = value.map((one) => readStruct(name, one));
  if (JSON.stringify(value) !== text) throw notCanonical(name);
  return documents;
}

function parse(bytes) {
  try {
    const text = textOf(bytes);
    return [text, JSON.parse(text)];
  } catch {
    throw notDocument("not JSON");
  }
}

function readStruct(name, value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw notDocument(`${name} is no object`);
  const fields = FORMATS.documents[name];
  const document = { [NAME]: name };
  let before = "";
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(fields, key)) throw notDocument(`${name} has an unknown field`);
    if (key <= before) throw notCanonical(name);
    before = key;
    document[key] = readValue(fields[key], value[key]);
    // A default is left out, never written.
    if (fields[key].omitted === "empty" && document[key].length === 0) throw notCanonical(name);
  }
  for (const [key, field] of Object.entries(fields)) {
    if (Object.hasOwn(value, key)) continue;
    if (!field.optional) throw notDocument(`${name} has no ${key}`);
    document[key] = field.omitted === "empty" ? [] : undefined;
  }
  return document;
}

const READERS = {
  text: readText,
  integer: readInteger,
  bytes: readBytes,
  flag: (_, value) => (typeof value === "boolean" ? value : refuse("not true or false")),
  word: (type, value) => (type.words.includes(value) ? value : refuse("not one of the words")),
  document: (type, value) => readStruct(type.name, value),
  list: readList,
  map: readMap,
};

const readValue = (type, value) => READERS[type.kind](type, value);

function readText(type, value) {
  if (typeof value !== "string" || LONE_SURROGATE.test(value)) refuse("not a text");
  checkLength(type, PAIR.test(value) ? [...value].length : value.length);
  if (type.pattern && !patternOf(type.pattern).test(value)) refuse("not of the pattern");
  return value;
}

const LONE_SURROGATE = /\p{Surrogate}/u;
const PAIR = /[\ud800-\udfff]/;
const patterns = new Map();

function patternOf(source) {
  if (!patterns.has(source)) patterns.set(source, new RegExp(source));
  return patterns.get(source);
}

function readInteger(type, value) {
  if (!Number.isSafeInteger(value) || value < type.min || value > type.max) refuse("not an integer in its bounds");
  return value;
}

function readBytes(type, value) {
  const bytes = typeof value === "string" ? fromBase64(value) : null;
  if (bytes === null) refuse("not base64");
  checkLength(type, bytes.length);
  return bytes;
}

function readList(type, value) {
  if (!Array.isArray(value)) refuse("not a list");
  checkLength(type, value.length);
  return value.map((item) => readValue(type.item, item));
}

function readMap(type, value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) refuse("not an object");
  const map = new Map();
  let before = "";
  for (const key of Object.keys(value)) {
    readValue(type.key, key);
    if (key <= before) throw notCanonical("map");
    before = key;
    map.set(key, readValue(type.value, value[key]));
  }
  return map;
}

function checkLength(type, length) {
  if (length < (type.min ?? 0) || length > (type.max ?? Infinity)) refuse("too short or too long");
}

function refuse(why) {
  throw notDocument(why);
}

const notDocument = (why) => new Refused("document_malformed", `Not a valid document: ${why}.`);
const notCanonical = (name) => new Refused("not_canonical", `The ${name} is not in RFC 8785 form.`);

const TIME = /^([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.([0-9]{3})Z$/;

/** Milliseconds of `2026-11-20T19:44:03.123Z`; Refused when there is no such moment. */
export function parseTime(text) {
  const match = TIME.exec(text);
  const [year, month, day, hour, minute, second, ms] = match ? match.slice(1).map(Number) : [NaN];
  const moment = Date.UTC(year, month - 1, day, hour, minute, second, ms);
  // Date.UTC carries 31 February over to March; a real moment comes back as it was written.
  if (Number.isNaN(moment) || moment < 0 || new Date(moment).toISOString() !== text) {
    throw new Refused("time_malformed", `${text} is not a time.`);
  }
  return moment;
}
