// Charts as SVG, each with a title, a summary and a table of its values. Texts are set as text alone, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 720;
const HEIGHT = 220;
const MARGIN = { top: 8, right: 8, bottom: 24, left: 48 };
const ROW = 26;
const NAMES = 200;

/** An element with attributes and children; a text becomes a text node. */
export function element(document, name, attributes = {}, ...children) {
  return filled(document, document.createElement(name), attributes, children);
}

function shape(document, name, attributes = {}, ...children) {
  return filled(document, document.createElementNS(SVG, name), attributes, children);
}

function filled(document, node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children.map((child) => (typeof child === "string" ? document.createTextNode(child) : child)));
  return node;
}

/** The class of a series: its colour, or one by its place. */
function series(index, colour) {
  return colour ?? `s${index % 6}`;
}

let count = 0;

/** A figure: the drawing, which is announced by title and summary, a legend, and the values as a table. */
function figure(document, { title, summary }, height, shapes, legend, table) {
  const id = `chart-${(count += 1)}`;
  const drawing = shape(
    document,
    "svg",
    { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-labelledby": `${id}-title ${id}-summary` },
    shape(document, "title", { id: `${id}-title` }, title),
    shape(document, "desc", { id: `${id}-summary` }, summary),
    ...shapes,
  );
  const values = element(document, "details", {}, element(document, "summary", {}, `Values of “${title}”`),
    element(document, "div", { class: "scroll" }, table));
  const parts = [element(document, "figcaption", {}, title), element(document, "p", {}, summary), drawing];
  return element(document, "figure", {}, ...parts, ...legend, values);
}

/** A table with a heading for each row. */
export function table(document, heads, rows) {
  const head = heads.map((text) => element(document, "th", { scope: "col" }, text));
  const body = rows.map(([first, ...others]) =>
    element(document, "tr", {}, element(document, "th", { scope: "row" }, first),
      ...others.map((text) => element(document, "td", {}, text))));
  return element(document, "table", {}, element(document, "thead", {}, element(document, "tr", {}, ...head)),
    element(document, "tbody", {}, ...body));
}

function legendOf(document, all) {
  const entries = all.map(({ name, colour }, index) => {
    const mark = shape(document, "svg", { viewBox: "0 0 12 12", width: 12, height: 12, "aria-hidden": "true" },
      shape(document, "rect", { width: 12, height: 12, class: series(index, colour) }));
    return element(document, "li", {}, mark, ` ${name}`);
  });
  return [element(document, "ul", { class: "legend" }, ...entries)];
}

/**
 * Columns of stacked values. `labels` name the columns; each of `all` has a name and a value for each column, `null` without one.
 * `format` writes a value, `top` is the end of the axis; default: the highest column.
 */
export function columns(document, about, labels, all, { format = String, top } = {}) {
  const sums = labels.map((_, at) => all.reduce((sum, { values }) => sum + (values[at] ?? 0), 0));
  const highest = top ?? Math.max(1, ...sums);
  const [width, height] = [WIDTH - MARGIN.left - MARGIN.right, HEIGHT - MARGIN.top - MARGIN.bottom];
  const step = width / Math.max(1, labels.length);
  const shapes = axis(document, height, width, format(highest), labels, step);
  labels.forEach((_, at) => {
    let base = 0;
    all.forEach(({ values, colour }, index) => {
      const size = ((values[at] ?? 0) / highest) * height;
      if (size <= 0) return;
      base += size;
      shapes.push(shape(document, "rect", {
        x: (MARGIN.left + at * step + step * 0.1).toFixed(2), y: (MARGIN.top + height - base).toFixed(2),
        width: (step * 0.8).toFixed(2), height: size.toFixed(2), class: series(index, colour),
      }));
    });
  });
  const text = (value) => (value === null || value === undefined ? "–" : format(value));
  const rows = labels.map((label, at) => [label, ...all.map(({ values }) => text(values[at]))]);
  const values = table(document, ["day", ...all.map(({ name }) => name)], rows);
  return figure(document, about, HEIGHT, shapes, all.length > 1 ? legendOf(document, all) : [], values);
}

function axis(document, height, width, highest, labels, step) {
  const bottom = MARGIN.top + height;
  const line = (x1, y1, x2, y2) => shape(document, "line", { x1, y1, x2, y2, class: "axis" });
  const text = (x, y, anchor, words) => shape(document, "text", { x, y, "text-anchor": anchor }, words);
  const shown = [...new Set([0, Math.floor((labels.length - 1) / 2), labels.length - 1])].filter((at) => at >= 0);
  const anchors = ["start", "middle", "end"];
  const names = shown.map((at, place) => {
    const anchor = shown.length === 1 ? "middle" : anchors[place === shown.length - 1 ? 2 : place];
    const x = { start: 0, middle: step / 2, end: step }[anchor] + MARGIN.left + at * step;
    return text(x.toFixed(2), bottom + 16, anchor, labels[at]);
  });
  return [
    line(MARGIN.left, MARGIN.top, MARGIN.left, bottom), line(MARGIN.left, bottom, MARGIN.left + width, bottom),
    text(MARGIN.left - 6, MARGIN.top + 10, "end", highest), text(MARGIN.left - 6, bottom, "end", "0"), ...names,
  ];
}

/**
 * One bar for each of `rows`: a name, a value from 0 to `top` or `null`, and the value's text. `details` is the table.
 */
export function bars(document, about, rows, top, details) {
  const width = WIDTH - NAMES - 90;
  const shapes = rows.flatMap(({ name, value, text }, at) => {
    const y = at * ROW + 4;
    const size = top > 0 ? ((value ?? 0) / top) * width : 0;
    const short = name.length > 28 ? `${name.slice(0, 27)}…` : name;
    return [
      shape(document, "text", { x: NAMES - 8, y: y + 14, "text-anchor": "end" }, short),
      shape(document, "rect", { x: NAMES, y, width: size.toFixed(2), height: ROW - 8, class: "s0" }),
      shape(document, "text", { x: (NAMES + size + 6).toFixed(2), y: y + 14 }, text),
    ];
  });
  return figure(document, about, rows.length * ROW + 4, shapes, [], details);
}
