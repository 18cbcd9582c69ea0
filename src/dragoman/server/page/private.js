// The private mode: the model is fetched, and texts are translated by a worker that can ask no server for anything.

import { ask, key } from "./api.js";

const MOST = 2000; // sentences whose translations are kept

let worker = null;
let loaded = ""; // what the worker has: model and format
let loading = null;
let latest = 0;
const waiting = new Map();
const known = new Map();

function call(task, given) {
  const id = ++latest;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, task, ...given });
  });
}

function end(problem) {
  worker?.terminate();
  worker = null;
  loaded = "";
  for (const { reject } of waiting.values()) reject(problem);
  waiting.clear();
}

function begin() {
  end(new Error("another model was chosen"));
  worker = new Worker("/page/private-worker.js", { type: "module" });
  worker.onmessage = ({ data: { id, done, problem } }) => {
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (problem !== undefined) reject?.(new Error(problem));
    else resolve?.(done);
  };
  worker.onerror = () => end(new Error("this browser cannot run the model"));
}

async function fetched(path, size, told) {
  const headers = key.get() ? { Authorization: `Bearer ${key.get()}` } : {};
  const answer = await fetch(path, { headers, credentials: "omit" });
  if (!answer.ok) throw new Error((await answer.json().catch(() => null))?.error?.message ?? `The server answered ${answer.status}`);
  const parts = [];
  let there = 0;
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(parts);
    parts.push(value);
    told(Math.min(1, (there += value.length) / size));
  }
}

/** Load a model of the server into this browser, unless it is there. `told` hears the fraction that is fetched. */
export async function prepare({ title, private: { format, bytes } }, told) {
  const name = `${title} ${format}`;
  if (loading?.name === name) return loading.promise;
  if (loaded === name) return undefined;
  const promise = (async () => {
    begin();
    known.clear();
    const asked = new URLSearchParams({ model: title });
    const [outline, wasm] = await Promise.all([ask("GET", `/api/private?${asked}`), fetched("/page/wllama/wllama.wasm", 1, () => {})]);
    const model = await fetched(`/api/private/weights?${asked}&format=${format}`, bytes, told);
    await call("load", { outline, wasm: new Blob([wasm], { type: "application/wasm" }), model });
    loaded = name;
  })();
  loading = { name, promise };
  try {
    return await promise;
  } finally {
    if (loading?.promise === promise) loading = null;
  }
}

/** One sentence: {text, finished, prompt, ids}; null when another one was asked for meanwhile. */
export async function translate(text, source, target) {
  const place = JSON.stringify([source, target, text]);
  if (!known.has(place)) {
    const made = await call("translate", { text, source, target });
    if (made === null) return null;
    if (known.size >= MOST) known.clear();
    known.set(place, made);
  }
  return known.get(place);
}

/** A text in sentences as this browser cuts them: {lead, source, tail} of each. */
export function sentences(text, language) {
  const cutter = new Intl.Segmenter(language, { granularity: "sentence" });
  return text.split(/(\n+)/).flatMap((line) => [...cutter.segment(line)].map(({ segment }) => {
    const source = segment.trim();
    const at = segment.indexOf(source);
    return { lead: segment.slice(0, at), source, tail: segment.slice(at + source.length) };
  }));
}
