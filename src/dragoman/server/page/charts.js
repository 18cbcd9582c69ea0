// Small SVG charts: lines and stacked shares, with a cursor for pointer and arrow keys, and the figures as a table.

import { h, number, table } from "./dom.js";

const [WIDTH, HEIGHT] = [420, 200];
const EDGE = { left: 46, right: 10, top: 10, bottom: 24 };
const NS = "http://www.w3.org/2000/svg";
const MOST_ROWS = 60;

function s(tag, facts = {}, ...children) {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(facts)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const colour = (one, at) => `c${one.colour ?? (at % 6) + 1}`;

/** Round values that cover a range, about as many as asked for. */
export function ticks(low, high, wanted = 4) {
  const span = high - low || Math.abs(high) || 1;
  const rough = span / wanted;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * ten).find((one) => one >= rough);
  const found = [];
  for (let at = Math.floor(low / step); at <= Math.ceil(high / step); at += 1) found.push(Number((at * step).toPrecision(12)));
  return found;
}

const short = (value) => (Math.abs(value) >= 10_000 ? `${number(value / 1000, value % 1000 ? 1 : 0)}k` : Number(value.toPrecision(4)).toString());
const told = (value) => (Math.abs(value) >= 100 ? number(value, 1) : Math.abs(value) >= 0.01 || value === 0 ? number(value, 3) : value.toExponential(2));

/** series: [{name, points: [[x, y], …], faint, colour}, …] in order of x */
export function lines({ title, series, x = "step", from = null, format = told }) {
  const all = series.flatMap((one) => one.points);
  const xs = all.map(([at]) => at);
  const ys = all.map(([, value]) => value);
  const marks = ticks(Math.min(...ys, ...(from === null ? [] : [from])), Math.max(...ys));
  const frame = plane(Math.min(...xs), Math.max(...xs), marks[0], marks.at(-1), marks);
  series.forEach((one, number_) => {
    const path = one.points.map(([at, value], place) => `${place ? "L" : "M"}${frame.x(at).toFixed(1)} ${frame.y(value).toFixed(1)}`).join("");
    frame.svg.append(s("path", { d: path, class: `line ${colour(one, number_)}${one.faint ? " faint" : ""}` }));
    if (one.points.length < 25) {
      for (const [at, value] of one.points) frame.svg.append(s("circle", { cx: frame.x(at), cy: frame.y(value), r: 2.6, class: `dot ${colour(one, number_)}` }));
    }
  });
  return figure({ title, series, x, frame, format });
}

/** series as above, whose values add up to at most 1 at each x */
export function shares({ title, series, x = "step" }) {
  const places = series[0].points.map(([at]) => at);
  const frame = plane(Math.min(...places), Math.max(...places), 0, 1, [0, 0.25, 0.5, 0.75, 1], (value) => `${Math.round(100 * value)} %`);
  const below = places.map(() => 0);
  series.forEach((one, number_) => {
    const lower = below.map((value, at) => `${frame.x(places[at]).toFixed(1)} ${frame.y(value).toFixed(1)}`);
    one.points.forEach(([, value], at) => { below[at] += value; });
    const upper = below.map((value, at) => `${frame.x(places[at]).toFixed(1)} ${frame.y(value).toFixed(1)}`);
    frame.svg.append(s("path", { d: `M${upper.join("L")}L${lower.reverse().join("L")}Z`, class: `area c${(number_ % 6) + 1}` }));
  });
  return figure({ title, series, x, frame, format: (value) => `${number(100 * value, 1)} %` });
}

/** rows: [[name, value], …] */
export function bars({ title, rows, x, format = (value) => number(value) }) {
  const marks = ticks(0, Math.max(1, ...rows.map(([, value]) => value)));
  const frame = plane(0, rows.length, 0, marks.at(-1), marks, short, rows.map(([name]) => name));
  const width = (frame.x(1) - frame.x(0)) * 0.7;
  rows.forEach(([, value], at) => frame.svg.append(
    s("rect", { x: frame.x(at + 0.5) - width / 2, y: frame.y(value), width, height: frame.y(0) - frame.y(value), class: "area c1" })));
  return figure({ title, series: [{ name: title, points: rows }], x, frame, format, still: true });
}

function plane(x0, x1, y0, y1, marks, label = short, named = null) {
  const right = x1 === x0 ? x0 + 1 : x1;
  const top = y1 === y0 ? y0 + 1 : y1;
  const x = (at) => EDGE.left + ((at - x0) / (right - x0)) * (WIDTH - EDGE.left - EDGE.right);
  const y = (value) => HEIGHT - EDGE.bottom - ((value - y0) / (top - y0)) * (HEIGHT - EDGE.top - EDGE.bottom);
  const svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img" });
  for (const mark of marks) {
    svg.append(s("line", { x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(mark), y2: y(mark), class: "grid" }));
    svg.append(s("text", { x: EDGE.left - 7, y: y(mark) + 4, "text-anchor": "end" }, label(mark)));
  }
  if (named) {
    const every = Math.ceil(named.length / 7);
    named.forEach((name, at) => { if (at % every === 0) svg.append(s("text", { x: x(at + 0.5), y: HEIGHT - 7, "text-anchor": "middle" }, name)); });
  } else {
    for (const mark of ticks(x0, right, 5).filter((one) => one >= x0 && one <= right)) {
      svg.append(s("text", { x: x(mark), y: HEIGHT - 7, "text-anchor": "middle" }, short(mark)));
    }
  }
  return { svg, x, y };
}

function figure({ title, series, x, frame, format, still = false }) {
  const readout = h("output", {});
  const places = [...new Set(series.flatMap((one) => one.points.map(([at]) => at)))].sort((a, b) => a - b);
  const ends = series.map((one) => `${one.name} from ${format(one.points[0][1])} to ${format(one.points.at(-1)[1])}`);
  frame.svg.setAttribute("aria-label", `${title}: ${ends.join(", ")}`);
  if (!still) follow(frame, series, places, x, format, readout);
  const rows = places.filter((_, at) => at % Math.ceil(places.length / MOST_ROWS) === 0 || at === places.length - 1);
  const values = series.map((one) => new Map(one.points));
  const figures = h("details", {}, h("summary", {}, "As a table"));
  figures.addEventListener("toggle", () => {
    if (figures.open && figures.children.length === 1) {
      figures.append(table([x, ...series.map((one) => one.name)],
        rows.map((at) => [{ n: String(at) }, ...values.map((one) => ({ n: one.has(at) ? format(one.get(at)) : "" }))]), { label: title }));
    }
  });
  return h("figure", {}, h("figcaption", {}, title, readout), frame.svg,
    series.length > 1 ? h("ul", { class: "key" }, series.map((one, at) => h("li", {}, h("i", { class: `${colour(one, at)}${one.faint ? " faint" : ""}` }), one.name))) : null, figures);
}

function follow(frame, series, places, x, format, readout) {
  const { svg } = frame;
  const cursor = s("line", { y1: EDGE.top, y2: HEIGHT - EDGE.bottom, class: "cursor", visibility: "hidden" });
  svg.append(cursor);
  svg.setAttribute("tabindex", "0");
  let at = places.length - 1;
  const nearest = (points, place) => points.reduce((best, one) => (Math.abs(one[0] - place) < Math.abs(best[0] - place) ? one : best), points[0]);
  const tell = () => {
    const place = places[at];
    cursor.setAttribute("x1", frame.x(place));
    cursor.setAttribute("x2", frame.x(place));
    cursor.setAttribute("visibility", "visible");
    readout.textContent = `${x} ${number(place)}: ${series.map((one) => (series.length > 1 ? `${one.name} ` : "") + format(nearest(one.points, place)[1])).join(" · ")}`;
  };
  const leave = () => { cursor.setAttribute("visibility", "hidden"); readout.textContent = ""; };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const left = ((event.clientX - box.left) / box.width) * WIDTH;
    at = places.reduce((best, place, index) => (Math.abs(frame.x(place) - left) < Math.abs(frame.x(places[best]) - left) ? index : best), 0);
    tell();
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("focus", () => { readout.setAttribute("aria-live", "polite"); if (svg.matches(":focus-visible")) tell(); });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -places.length, End: places.length }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    at = Math.min(places.length - 1, Math.max(0, at + step));
    tell();
  });
}
