// Elements made by script. Texts only ever become text nodes: nothing that is shown is read as HTML.

export const $ = (id) => document.getElementById(id);

export function h(tag, facts = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(facts ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof made[name] !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

export function fill(place, ...children) {
  place.replaceChildren(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false));
  return place;
}

export const number = (value, digits = 0) =>
  value === null || value === undefined ? "–" : Number(value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** rows: lists of strings, numbers (set right) or elements */
export function table(heads, rows, facts = {}) {
  const right = (cell) => typeof cell === "number" || (cell && cell.n !== undefined);
  const shown = (cell) => (cell && cell.n !== undefined ? cell.n : typeof cell === "number" ? number(cell) : cell);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": facts.label },
    h("table", { class: facts.class },
      h("thead", {}, h("tr", {}, heads.map((head, at) => h("th", { scope: "col", class: rows.length && right(rows[0][at]) ? "n" : null }, head)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", { class: right(cell) ? "n" : null, dir: typeof cell === "string" ? "auto" : null }, shown(cell))))))));
}

export function facts(pairs) {
  return h("dl", {}, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))]));
}

let latest = 0;
export const unique = (name) => `${name}-${++latest}`;

export function field(label, control, facts = {}) {
  control.id ||= unique("field");
  return h("div", { class: facts.wide ? "field wide" : "field" }, h("label", { for: control.id }, label), control);
}

export function options(place, known, chosen) {
  fill(place, known.map(([value, text]) => h("option", { value }, text)));
  if (known.some(([value]) => value === chosen)) place.value = chosen;
  return place;
}

export async function copied(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // no permission, or a page without TLS
    const area = h("textarea", { class: "unseen", "aria-hidden": "true" });
    area.value = text;
    (button.closest("dialog") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}

/** How a language is written, as the browser knows it: ltr, rtl, or auto where it does not. */
export function direction(code) {
  try {
    const locale = new Intl.Locale(code);
    return (locale.getTextInfo?.() ?? locale.textInfo)?.direction ?? "auto";
  } catch {
    return "auto";
  }
}
