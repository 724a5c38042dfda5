"use strict";
// The page without this script has the same figures, in tables; this makes them curves, and the tables sortable.

const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const byId = id => document.getElementById(id);
// Plotly takes text for a small HTML; names of plugins and suites are text.
const plain = text => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const element = (tag, text = "") => Object.assign(document.createElement(tag), { textContent: text });

let printing = false;

// Tables: sorted by a click on a head; what has no value comes last either way.

const valueOf = (row, column) => {
  const cell = row.cells[column];
  const value = cell.dataset.value ?? cell.textContent.trim();
  return value === "" || isNaN(value) ? value : Number(value);
};

// A long table has its rows in groups, which the browser lays out when they come near the window. All rows stay in the
// page: to be found, copied, reached by keys and printed. The columns keep the widths that all rows together give them.

const LONG = 200; // rows
const GROUP = 50;

const rowsOf = table => [...table.tBodies].flatMap(body => [...body.rows]);

function group(table) {
  const rows = rowsOf(table);
  if (rows.length < LONG || table.tBodies.length > 1 || !table.offsetHeight) return;
  const size = parseFloat(getComputedStyle(table).fontSize);
  const widths = [...table.tHead.rows[0].cells].map(head => head.getBoundingClientRect().width / size);
  table.style.setProperty("--width", `${widths.reduce((sum, each) => sum + each)}em`);
  table.id ||= `long-${document.querySelectorAll(".long").length}`;
  const rules = widths.map((width, i) => `#${table.id} tr > :nth-child(${i + 1}) { width: ${width}em; }`);
  document.head.append(element("style", `@media screen { ${rules.join("")} }`));
  // Some browsers do not tell a table by its elements once these are laid out in another way.
  table.role = "table";
  table.ariaRowCount = rows.length + 1;
  for (const row of table.rows) {
    row.role = "row";
    for (const cell of row.cells) cell.role = { col: "columnheader", row: "rowheader" }[cell.scope] ?? "cell";
  }
  while (table.tBodies.length * GROUP < rows.length) table.createTBody();
  for (const part of [table.tHead, ...table.tBodies]) part.role = "rowgroup";
  table.classList.add("long");
  arrange(table, rows);
}

// Puts the rows of a table in order, and shows those that match the filter.
function arrange(table, rows) {
  const size = table.tBodies.length > 1 ? GROUP : rows.length;
  if (table.role) rows.forEach((row, i) => (row.ariaRowIndex = i + 2)); // screen readers know what is laid out
  [...table.tBodies].forEach((body, i) => {
    const part = rows.slice(i * size, (i + 1) * size);
    for (const row of part) row.hidden = !matches(row);
    if (part.some((row, j) => row !== body.rows[j])) body.replaceChildren(...part);
    body.style.setProperty("--rows", part.filter(row => !row.hidden).length);
  });
}

const alphabet = new Intl.Collator("en", { numeric: true });
function compare(one, other) {
  if (one === "" || other === "") return 0;
  if (typeof one === "number" && typeof other === "number") return one - other;
  return alphabet.compare(one, other);
}

function sortBy(table, head, column) {
  const order = { ascending: "descending", descending: "ascending" };
  const direction = order[head.getAttribute("aria-sort")] ?? head.dataset.first ?? "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", direction);
  const sign = direction === "ascending" ? 1 : -1;
  const keyed = rowsOf(table).map(row => [valueOf(row, column), row]);
  keyed.sort(([a], [b]) => (a === "") - (b === "") || sign * compare(a, b));
  arrange(table, keyed.map(([, row]) => row));
}

let words = [];
const contents = new WeakMap(); // of rows, as they are searched
function matches(row) {
  if (!contents.has(row)) contents.set(row, row.textContent.toLowerCase());
  return words.every(word => contents.get(row).includes(word));
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = element("button", head.textContent);
    button.type = "button";
    button.addEventListener("click", () => sortBy(table, head, column));
    head.replaceChildren(button);
  });
}

const filter = byId("filter");
if (filter) {
  const tables = [...document.querySelectorAll("table.sortable")];
  const apply = () => {
    words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = tables.flatMap(rowsOf);
    for (const table of tables) arrange(table, rowsOf(table));
    byId("shown").textContent = `${rows.filter(matches).length} of ${rows.length} shown`;
  };
  filter.addEventListener("input", apply);
  filter.closest("p").hidden = false;
  apply();
}

// Cases: each epoch of each seed, once somebody wants to see it.

function historyOf(series) {
  const table = element("table");
  const head = table.createTHead().insertRow();
  head.append(...["seed", "epoch", ...data.history.map(each => each.title)].map(title => Object.assign(element("th", title), { scope: "col" })));
  const body = table.createTBody();
  for (const trial of series.trials) {
    trial[data.history[0].key].forEach((_, epoch) => {
      const row = body.insertRow();
      const figures = data.history.map(each => trial[each.key][epoch]);
      for (const value of [trial.seed, epoch + 1, ...figures]) row.insertCell().textContent = value ?? "–";
    });
  }
  return table;
}

for (const details of document.querySelectorAll("details.case")) {
  details.addEventListener("toggle", () => {
    const box = details.querySelector(".history");
    const series = data.sections.flatMap(section => section.series).find(each => each.id === details.dataset.case);
    if (series && !box.firstChild) box.append(historyOf(series));
  });
}

function openTarget() {
  let name = location.hash.slice(1);
  try {
    name = decodeURIComponent(name);
  } catch {
    // it is damaged, and names nothing
  }
  const target = name && byId(name);
  if (target && target.tagName === "DETAILS") {
    target.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", openTarget);
for (const table of document.querySelectorAll(".wide > table")) if (table.tHead) group(table);
for (const details of document.querySelectorAll("article details")) {
  details.addEventListener("toggle", () => details.querySelectorAll(".wide > table").forEach(table => printing || group(table)));
}
openTarget();

// Curves.

const form = byId("controls");
const charts = [...document.querySelectorAll(".chart")];
const visible = new Set();
const stale = new Set(charts);

const css = name => getComputedStyle(root).getPropertyValue(name).trim();
// Black is the last colour of the plots; on a dark page it is white.
const colourOf = style => (style.color === "#000000" ? css("--first") : style.color);

function drawSwitches() {
  form.querySelectorAll("[name=method]").forEach((box, number) => {
    const style = data.styles[number];
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    const dashes = { solid: "", dash: "7 4", dot: "2 3", dashdot: "7 3 2 3" };
    const attributes = { x1: 0, x2: 34, y1: 6, y2: 6, stroke: colourOf(style), "stroke-width": 3, "stroke-dasharray": dashes[style.dash] };
    for (const [name, value] of Object.entries(attributes)) line.setAttribute(name, value);
    box.nextElementSibling.replaceChildren(line);
  });
}

function wanted() {
  const chosen = new FormData(form);
  return {
    methods: new Set(chosen.getAll("method").map(Number)),
    x: chosen.get("x"),
    log: chosen.get("y") === "log",
    lines: chosen.get("seeds") === "lines",
  };
}

// On a logarithmic axis an accuracy is drawn by what is missing to 100 %, so that 97 and 98 stand apart beside 60.
const LEAST_ERROR = 0.005;
const heights = (metric, state) =>
  !state.log ? y => y : metric.error ? y => (y === null ? null : Math.max(100 - y, LEAST_ERROR)) : y => (y > 0 ? y : null);

// The positions of evaluations on the axis that is chosen. Without `at`, their steps, there is one after each epoch.
function across(series, count, at, seconds, state) {
  const [steps, size, batch] = series.epoch;
  const ends = at ?? Array.from({ length: count }, (_, i) => (i + 1) * steps);
  const seen = step => Math.floor(step / steps) * size + Math.min((step % steps) * batch, size);
  if (state.x === "seconds") return seconds;
  if (state.x === "steps") return ends;
  if (state.x === "examples") return ends.map(seen);
  return at ? ends.map(step => step / steps) : ends.map((_, i) => i + 1);
}

const moments = (count, at) => at?.map(step => `step ${step}`) ?? Array.from({ length: count }, (_, i) => `epoch ${i + 1}`);

function line(series, metric, state, across, values, name, moments) {
  const style = data.styles[series.method];
  return {
    type: "scatter",
    mode: values.length > 1 && values.length <= 20 && !state.lines ? "lines+markers" : values.length > 1 ? "lines" : "markers",
    x: across,
    y: values.map(heights(metric, state)),
    customdata: values.map((value, i) => [moments[i], value === null ? "–" : value.toPrecision(5)]),
    meta: plain(name),
    hovertemplate: "%{meta}<br>%{customdata[0]}: %{customdata[1]}<extra></extra>",
    line: { color: colourOf(style), dash: style.dash, width: state.lines ? 1.3 : 2 },
    marker: { color: colourOf(style), symbol: style.symbol, size: 7 },
    opacity: state.lines ? 0.75 : 1,
  };
}

function band(series, metric, state, across) {
  const means = series.mean[metric.key];
  const stds = series.std[metric.key];
  const height = heights(metric, state);
  const there = means.map((mean, i) => i).filter(i => means[i] !== null && stds[i] !== null);
  const low = there.map(i => height(state.log && !metric.error ? Math.max(means[i] - stds[i], means[i] / 20) : means[i] - stds[i]));
  const high = there.map(i => height(means[i] + stds[i]));
  const x = there.map(i => across[i]);
  return {
    type: "scatter", mode: "lines", line: { width: 0 }, fill: "toself", hoverinfo: "skip",
    x: [...x, ...x.toReversed()], y: [...high, ...low.toReversed()],
    fillcolor: colourOf(data.styles[series.method]), opacity: 0.18,
  };
}

function traces(section, metric, state) {
  const found = [];
  const compared = each => state.methods.has(each.method) && !(state.x === "seconds" && each.stacked);
  for (const series of section.series.filter(compared).slice(0, data.most)) {
    const name = data.methods[series.method];
    if (state.lines) {
      for (const trial of series.trials) {
        let total = 0;
        const { at, seconds } = trial.course ?? { seconds: trial.seconds.map(each => (total += each)) };
        const values = (trial.course ?? trial)[metric.key];
        const x = across(series, values.length, at, seconds, state);
        found.push(line(series, metric, state, x, values, `${name}, seed ${trial.seed}`, moments(values.length, at)));
      }
    } else {
      const values = series.mean[metric.key];
      const x = across(series, values.length, series.at, series.seconds, state);
      if (series.trials.length > 1) found.push(band(series, metric, state, x));
      found.push(line(series, metric, state, x, values, name, moments(values.length, series.at)));
    }
  }
  return found;
}

// On a logarithmic axis: 1, 2, 5, 10, …, and more of them where it is short.
function ticks(drawn) {
  const there = drawn.flatMap(trace => trace.y).filter(y => y > 0);
  const [least, most] = there.reduce(([least, most], y) => [Math.min(least, y), Math.max(most, y)], [Infinity, 0]);
  const digits = most < 20 * least ? [1, 1.5, 2, 3, 5, 7] : [1, 2, 5];
  return [-6, -5, -4, -3, -2, -1, 0, 1, 2].flatMap(power => digits.map(digit => Number(`${digit}e${power}`)));
}

// A trial of a stack has an equal share of the stack's time, which is not compared with any.
const TITLES = {
  epochs: "epoch", steps: "step", examples: "examples seen",
  seconds: "seconds of training" + (data.stacked ? " (cases in a stack are left out)" : ""),
};

function layout(metric, state, drawn, epochs) {
  const axis = { gridcolor: css("--line"), linecolor: css("--line"), zeroline: false, automargin: true };
  const y = { ...axis, title: { text: metric.title + metric.unit, standoff: 8 } };
  if (state.log) {
    const label = metric.error ? y => String(+(100 - y).toFixed(2)) : y => String(y);
    const tickvals = ticks(drawn);
    Object.assign(y, { type: "log", autorange: metric.error ? "reversed" : true, tickvals, ticktext: tickvals.map(label) });
  }
  const x = { ...axis, title: { text: TITLES[state.x] } };
  if (state.x !== "epochs" || !epochs) x.rangemode = "tozero";
  else Object.assign(x, { tick0: 0, dtick: Math.ceil(epochs / 10) });
  return {
    xaxis: x, yaxis: y, showlegend: false, hovermode: "closest", uirevision: JSON.stringify([state.x, state.log]),
    margin: { l: 60, r: 12, t: 10, b: 45 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: css("--text"), family: getComputedStyle(document.body).fontFamily, size: printing ? 9 : 13 },
    hoverlabel: { align: "left", namelength: -1 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--faint"), activecolor: css("--link") },
    ...(printing ? { width: 345, height: 260, autosize: false } : { autosize: true }),
  };
}

const CONFIG = { responsive: true, displaylogo: false, modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]] };

function draw(chart) {
  const state = wanted();
  const metric = data.metrics.find(each => each.key === chart.dataset.metric);
  const section = data.sections[chart.dataset.section];
  // Whole epochs have ticks; curves with evaluations within them need others.
  const epochs = section.series.some(series => series.at) ? 0 : Math.max(...section.series.map(series => series.mean[metric.key].length));
  const drawn = traces(section, metric, state);
  Plotly.react(chart, drawn, layout(metric, state, drawn, epochs), CONFIG);
  stale.delete(chart);
}

let asked = 0;
function drawSoon() {
  cancelAnimationFrame(asked);
  asked = requestAnimationFrame(() => {
    for (const chart of visible) if (stale.has(chart)) draw(chart);
  });
}

// Too many curves are not drawn, and the page says so.
function count() {
  const { methods } = wanted();
  const most = Math.max(...data.sections.map(({ series }) => series.filter(each => methods.has(each.method)).length));
  const names = data.methods.filter((_, i) => methods.has(i));
  const said = names.length > 12 ? `${names.slice(0, 12).join(", ")} and ${names.length - 12} more` : names.join(", ");
  const beyond = most > data.most ? `Only the first ${data.most} of ${most} chosen curves are drawn. ` : "";
  byId("drawn").textContent = byId("find") ? `${beyond}Chosen: ${said || "none"}.` : "";
}

function redraw() {
  count();
  for (const chart of charts) stale.add(chart);
  drawSwitches();
  drawSoon();
}

async function unpack(text) {
  const packed = Uint8Array.from(atob(text.trim()), character => character.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function themes() {
  const button = byId("theme");
  const names = { undefined: "system", light: "light", dark: "dark" };
  const next = { undefined: "dark", dark: "light" };
  button.addEventListener("click", () => {
    use(next[root.dataset.theme]);
    button.firstElementChild.textContent = names[root.dataset.theme];
    if (form) redraw();
  });
  button.hidden = false;
}

const opened = []; // for printing
let theme; // as it was before

function use(name) {
  if (name) root.dataset.theme = name;
  else delete root.dataset.theme;
}

// Charts that nobody has scrolled to are not drawn, and closed tables are not printed.
function forPrint(begins) {
  if (begins) theme = root.dataset.theme;
  use(begins ? "light" : theme);
  printing = begins;
  if (begins) {
    opened.push(...document.querySelectorAll("article details:not([open])"));
    for (const details of opened) details.open = true;
  } else {
    for (const details of opened.splice(0)) details.open = false;
  }
  if (typeof Plotly === "undefined") return;
  for (const chart of charts) begins ? draw(chart) : stale.add(chart);
  if (!begins) drawSoon();
}

async function main() {
  themes();
  addEventListener("beforeprint", () => forPrint(true));
  addEventListener("afterprint", () => forPrint(false));
  if (!form) return;
  try {
    document.head.append(element("script", await unpack(byId("plotly").textContent)));
    if (typeof Plotly === "undefined") throw new Error("the plotting library did not start");
  } catch (error) {
    byId("trouble").textContent = `The curves cannot be drawn in this browser (${error.message}); the tables show the same figures.`;
    byId("trouble").hidden = false;
    return;
  }
  form.addEventListener("change", redraw);
  form.addEventListener("submit", event => event.preventDefault());
  for (const [id, on] of [["all", true], ["none", false]]) {
    byId(id)?.addEventListener("click", () => {
      const boxes = [...form.querySelectorAll("[name=method]")];
      for (const box of boxes) if (!on || !box.closest("label").hidden) box.checked = on;
      redraw();
    });
  }
  byId("find")?.addEventListener("input", event => {
    const wanted = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const label of form.querySelectorAll(".switches label")) {
      label.hidden = !wanted.every(word => label.textContent.toLowerCase().includes(word));
    }
  });
  byId("find")?.addEventListener("change", event => event.stopPropagation());
  form.hidden = false;
  drawSwitches();
  count();
  const watcher = new IntersectionObserver(entries => {
    for (const entry of entries) entry.isIntersecting ? visible.add(entry.target) : visible.delete(entry.target);
    drawSoon();
  }, { rootMargin: "300px" });
  charts.forEach(chart => watcher.observe(chart));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

main();
