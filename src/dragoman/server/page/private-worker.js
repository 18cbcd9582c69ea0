// Translates in the browser. This script has a policy of its own: it runs WASM, and can ask no server for anything, so what it
// is told stays here. The prompt is written as `engine/encoder.py` writes it, which is held against ids from the server first.

import { Wllama } from "./wllama/index.js";

self.document ??= { baseURI: self.location.href }; // wllama asks a document where it is

const MOST = 2048; // tokens of a prompt and its answer: memory for all of them is taken at once
const BATCH = 512;
const QUIET = { debug() {}, log() {}, warn() {}, error() {} };

let engine = null;
let about = null; // what `engine/outline.py` tells of the model
let oddly = null; // finds what the tokenizer takes for a token though it is no text
let hidden = null; // finds what must not meet a template's own control tokens
let wanted = 0; // the number of the latest question: older ones are given up

// ---------------------------------------------------------------- a text as the model reads it (core/text/normalise.py)

const KEPT = "\u00a0\u202f\u3000";
const OTHER = "\\t\\n\\v\\f\\r\\x1c-\\x1f\\x85\\u1680\\u2000-\\u200a\\u2028\\u2029\\u205f";
const SPACE_RUN = new RegExp(`[ ${OTHER}${KEPT}]{2,}|[${OTHER}]`, "g");
const SIDES = new RegExp(`^[ ${OTHER}${KEPT}]+|[ ${OTHER}${KEPT}]+$`, "g");
const KEPT_SPACE = new RegExp(`[${KEPT}]`, "g");
const CONTROLS = /[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff\ufff9-\ufffb]/g;
const DISPLAY = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufe0e\ufe0f]/g;
const JOINING = /^[\u0600-\u07ff\u0840-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufeff]/u;
const EMOJI = /^[\u2190-\u2bff\ufe0f\u{1f000}-\u{1faff}]/u;

const trim = (text) => text.replace(SIDES, "");

function composed(text, form) {
  if (form === "NFC") return text.normalize("NFC");
  if (form !== "NFKC") return text;
  return text.split(/([\u00a0\u202f])/).map((part) => (part === "\u00a0" || part === "\u202f" ? part : part.normalize("NFKC"))).join("");
}

/** One joiner where the character before it is of a script that needs it. */
function joined(text) {
  return text.replace(/[\u200c\u200d]+/g, (found, at) => {
    const before = [...text.slice(Math.max(0, at - 2), at)].at(-1) ?? "";
    const needed = JOINING.test(before) || (found[0] === "\u200d" && EMOJI.test(before));
    return needed && at + found.length < text.length ? found[0] : "";
  });
}

function normalised(text, { unicode, controls, spaces }) {
  if (controls) text = text.replace(CONTROLS, "");
  text = composed(text, unicode);
  if (controls) text = composed(joined(text), unicode);
  if (spaces) text = trim(text.replace(SPACE_RUN, (run) => run.match(KEPT_SPACE)?.[0] ?? " "));
  return trim(text.replaceAll("\n", " "));
}

function asRead(text) {
  const shown = text.replace(DISPLAY, "").replace(KEPT_SPACE, " ");
  return shown === text ? text : shown.replace(/ {2,}/g, " ");
}

// ---------------------------------------------------------------- a text becomes a prompt (engine/encoder.py)

const any = (spellings) => [...spellings].sort((a, b) => b.length - a.length).map((one) => one.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|");

/** Tokens of a text. Control tokens that it spells are text, unless it is the template's own (`special`). */
async function tokens(text, special = false) {
  if (!text) return [];
  if (special || !about.odd.length) return engine.tokenize(text, special);
  const ids = [];
  let from = 0; // cut behind the first character of what the tokenizer would find though it is no text
  for (const found of text.matchAll(oddly)) {
    const to = found.index + String.fromCodePoint(text.codePointAt(found.index)).length;
    ids.push(...await engine.tokenize(text.slice(from, to), false));
    from = to;
  }
  if (from < text.length) ids.push(...await engine.tokenize(text.slice(from), false));
  return ids;
}

async function prompt(frame, clean) {
  let text = asRead(clean);
  if (frame.trimmed[0]) text = text.replace(/^\s+/, "");
  if (frame.trimmed[1]) text = text.replace(/\s+$/, "");
  const whole = frame.before + text + frame.after;
  if (!about.chat) return [...frame.first, ...await tokens(whole), ...frame.last];
  const ids = [];
  let part = frame.before;
  let from = 0;
  for (const found of text.matchAll(hidden)) {
    ids.push(...await tokens(part + text.slice(from, found.index), true), ...await tokens(found[0]));
    part = "";
    from = found.index + found[0].length;
  }
  return [...ids, ...await tokens(part + text.slice(from) + frame.after, true)];
}

// ---------------------------------------------------------------- a prompt becomes a translation

/** The likeliest token again and again, until one that ends a translation. */
async function completed(ids, limit, mine) {
  const ends = new Set(about.ends);
  const silent = new Set(about.silent);
  const bias = about.not_first.map((token) => ({ token, bias: -1e9 }));
  const bytes = [];
  const made = [];
  await engine.kvClear();
  await engine.samplingInit({ temp: 0, top_k: 1, logit_bias: bias });
  await engine.decode(ids, {});
  while (made.length < limit) {
    if (mine !== wanted) return null;
    const { token, piece } = await engine.samplingSample();
    if (ends.has(token)) return { ids: made, bytes, finished: true };
    made.push(token);
    if (!silent.has(token)) bytes.push(...piece);
    if (made.length === 1 && bias.length) await engine.samplingInit({ temp: 0, top_k: 1 });
    if (made.length < limit) await engine.decode([token], {});
  }
  return { ids: made, bytes, finished: false };
}

async function translate({ text, source, target }, mine) {
  const clean = normalised(text.toWellFormed(), about.normalise);
  if (!/\p{L}/u.test(clean)) return { text: clean, finished: true, prompt: [], ids: [] };
  const ids = await prompt(about.directions[`${source}-${target}`], clean);
  const size = (await engine.tokenize(clean, true)).length;
  const limit = Math.min(Math.floor(about.max_ratio * size) + about.max_extra, Math.min(about.context, MOST) - ids.length);
  if (limit <= Math.floor(size / 4)) return { text: "", finished: false, prompt: ids, ids: [] }; // too long for the model
  const made = await completed(ids, limit, mine);
  if (made === null) return null;
  return { text: trim(new TextDecoder().decode(new Uint8Array(made.bytes))), finished: made.finished, prompt: ids, ids: made.ids };
}

/** Load a model, and see that its prompts are those of the server. `wasm`, `model`: blobs. */
async function load({ wasm, model, outline }) {
  if (engine !== null) await engine.exit();
  about = outline;
  oddly = new RegExp(`(?=${any(about.odd)})`, "gu");
  hidden = new RegExp(any([...about.controls, ...about.odd, "\ue000"]), "gu");
  engine = new Wllama({ "single-thread/wllama.wasm": URL.createObjectURL(wasm) }, { logger: QUIET, suppressNativeLog: true });
  await engine.loadModel([model], { n_ctx: Math.min(about.context, MOST), n_batch: BATCH, n_threads: 1 });
  for (const frame of Object.values(about.directions)) {
    for (const [text, ids] of frame.probes) {
      const found = await prompt(frame, normalised(text, about.normalise));
      if (found.join() !== ids.join()) throw new Error("this browser would write another prompt than the model was trained with");
    }
  }
  return {};
}

// One after the other: the engine has one state.
let last = Promise.resolve();
self.onmessage = ({ data: { id, task, ...given } }) => {
  wanted = id;
  last = last.then(async () => {
    try {
      self.postMessage({ id, done: await (task === "load" ? load(given) : translate(given, id)) });
    } catch (error) {
      self.postMessage({ id, problem: String(error?.message ?? error) });
    }
  });
};
