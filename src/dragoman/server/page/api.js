// The server's JSON API, and the key: entered once, kept for this tab.

const PLACE = "dragoman.key";

export const key = {
  get: () => sessionStorage.getItem(PLACE) ?? "",
  set: (value) => sessionStorage.setItem(PLACE, value),
  forget: () => sessionStorage.removeItem(PLACE),
};

/** What the server said no with, in its own words. `wait`: the seconds after which it may be asked again. */
export class Refusal extends Error {
  constructor(message, status, wait) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}

export async function ask(method, path, body, { signal, blob = false } = {}) {
  const headers = {};
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  const sent = { method, headers, signal, cache: "no-store", credentials: "omit" };
  if (body instanceof FormData) sent.body = body;
  else if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    sent.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, sent);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server cannot be reached.", 0, 3);
  }
  if (answer.ok) return blob ? answer.blob() : answer.json();
  let said = `The server answered ${answer.status}.`;
  try {
    const { error } = await answer.json();
    const told = error.message ?? error;
    said = told.slice(0, 1).toUpperCase() + told.slice(1); // the API's begin small
  } catch { /* no JSON: a proxy answered */ }
  if (answer.status === 401) document.dispatchEvent(new CustomEvent("key-wanted", { detail: said }));
  throw new Refusal(said, answer.status, Number(answer.headers.get("Retry-After")) || 0);
}
