/* The portal's script: chooses, lists, draws and opens runs, from the data that stands in the page.
 *
 * Promises: text from a run only ever becomes a text node or an attribute's value, never markup; nothing is asked of a
 * network: a run's details are a script file beside the page, which hands over a text of JSON; what was chosen stands
 * in the address, so that it can be kept and gone back to.
 */
"use strict";
(() => {
  const DAY = 86400, CELL = 27;
  const small = matchMedia("screen and (max-width: 44rem)");
  const [PAGE, PLANS, PLOTS] = small.matches ? [20, 8, 4] : [50, 20, 8];
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const { runs, plans, controls, outcomes } = data;
  const every = runs.plan.map((_, row) => row);
  const rowOf = new Map(every.filter((row) => runs.entry[row] !== null).map((row) => [runs.entry[row], row]));
  const PASSED = outcomes.indexOf("passed"), WAIVED = outcomes.indexOf("waived");
  const NOTHING = "Nothing matches what was chosen.";
  const SIGNS = { pass: "✓", fail: "✕", inconclusive: "?", "not asked": "–" };

  // --- Words: as muster.quantity and muster.deck.wording have them ---

  const counted = (n) => n.toLocaleString("en-US");
  const many = (n, one, more) => `${counted(n)} ${n === 1 ? one : more}`;
  const pad = (n) => String(n).padStart(2, "0");
  const day = (at) => new Date(at * 1000).toISOString().slice(0, 10);
  const minute = (at) => (at === null ? "no time" : new Date(at * 1000).toISOString().slice(0, 16).replace("T", " "));

  function seconds(n) {
    if (n < 1) return `${n.toFixed(2)} s`;
    if (n < 120) return `${n.toFixed(1)} s`;
    let minutes = Math.floor(Math.round(n) / 60);
    if (minutes < 120) return `${minutes} m ${pad(Math.round(n) % 60)} s`;
    const hours = Math.floor(minutes / 60);
    minutes %= 60;
    return hours < 72 ? `${hours} h ${pad(minutes)} m` : `${Math.floor(hours / 24)} d ${pad(hours % 24)} h`;
  }

  function span(n) {
    for (const [size, unit] of [[DAY, "d"], [3600, "h"], [60, "m"], [1, "s"]]) {
      if (n >= size && n % size === 0) return `${n / size} ${unit}`;
    }
    return seconds(n);
  }

  function beside(measured, objective) {
    if (measured === null) return objective === null ? "–" : "not measured";
    return objective === null ? seconds(measured) : `${seconds(measured)} of ${span(objective)}`;
  }

  // --- Elements ---

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }
  const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  const bdi = (text) => el("bdi", {}, text);
  const mark = (word) => svg("svg", { class: "mark", "aria-hidden": "true" }, svg("use", { href: `#mark-${word}` }));
  const sign = (word) => el("span", { class: `sign ${data.tones[word]}` }, mark(word), ` ${word}`);
  const terms = (pairs) => pairs.map(([label, value]) => {
    const [, digest, rest] = value.match(/^([0-9a-f]{64})?(.*)$/);
    return el("div", {}, el("dt", {}, label), el("dd", {}, digest ? el("code", {}, digest) : "", bdi(rest)));
  });
  /** Text in which commands stand between backticks. */
  const coded = (text) => el("bdi", {}, ...text.split("`").map((part, n) => (n % 2 ? el("code", {}, part) : part)));

  /** Buttons that turn pages; `turn` gets the page to show. They stay in place, so that the focus does. */
  function pager(id, { words, page, last, turn, labels = ["Previous", "Next"] }) {
    const place = byId(id);
    if (!place.firstChild) place.append(el("button", { type: "button" }), el("span"), el("button", { type: "button" }));
    const [back, told, on] = place.children;
    place.hidden = last <= 0;
    told.textContent = words;
    for (const [button, label, to] of [[back, labels[0], page - 1], [on, labels[1], page + 1]]) {
      const isOff = to < 0 || to > last;
      button.textContent = label;
      button.setAttribute("aria-disabled", isOff);
      button.onclick = () => {
        if (isOff) return;
        turn(to);
        byId("turned").textContent = told.textContent;
      };
    }
  }

  const lastPage = (length, size) => Math.max(0, Math.ceil(length / size) - 1);

  /** A pager over a list of plans, and those of the page that it is at. */
  function pageOfPlans(id, list, size, name, redraw) {
    const start = view[name] * size, shown = list.slice(start, start + size);
    pager(id, {
      words: `plans ${counted(start + 1)} to ${counted(start + shown.length)} of ${counted(list.length)}`,
      page: view[name], last: lastPage(list.length, size),
      turn: (page) => { view[name] = page; redraw(); },
    });
    return shown;
  }

  /** A plan's name, and what became of it where it is gone. */
  const nameOf = ({ name, ended }) => [bdi(name), ended ? el("span", { class: "ended" }, ended) : ""];

  const byName = (a, b) => (plans[a].name < plans[b].name ? -1 : 1);

  /** A table with its roles spelled out, since the style sheet lays it out in other ways on a small screen. */
  const table = (attributes, heads, rows) => el("table", { role: "table", ...attributes },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...heads)), el("tbody", { role: "rowgroup" }, ...rows));
  const headCell = (...children) => el("th", { role: "columnheader", scope: "col" }, ...children);
  const rowHead = (label, ...children) =>
    el("th", { role: "rowheader", scope: "row", "data-label": label }, ...children);
  const cell = (label, ...children) => el("td", { role: "cell", "data-label": label }, ...children);

  // --- What was chosen ---

  const form = byId("filters");
  const fields = ["control", "plan", "from", "until", "text"];
  const view = { sort: "due", order: "desc", unit: "week", page: 0, calendar: 0, plots: 0, back: 0 };
  let chosen = {};
  let found = every;

  function readForm() {
    chosen = Object.fromEntries(fields.map((name) => [name, form.elements[name].value]));
    chosen.outcomes = [...form.querySelectorAll("[name=outcome]:checked")].map((box) => box.value);
  }

  function writeForm(query) {
    for (const name of fields) form.elements[name].value = query.get(name) || "";
    const wanted = (query.get("outcome") || "").split(" ");
    for (const box of form.querySelectorAll("[name=outcome]")) box.checked = wanted.includes(box.value);
    const period = `${form.elements.from.value}/${form.elements.until.value}`;
    form.elements.period.value = [...form.elements.period.options].some((o) => o.value === period) ? period : "";
  }

  /** What was chosen as an address within the page, with changes. */
  function address(changes = {}) {
    const wanted = { ...chosen, outcome: chosen.outcomes.join(" "), ...changes };
    const query = new URLSearchParams();
    for (const name of [...fields, "outcome"]) if (wanted[name]) query.set(name, wanted[name]);
    return `#?${query}`;
  }

  const startOfDay = (text) => (text ? Date.parse(`${text}T00:00:00Z`) / 1000 : NaN);

  function choose() {
    const plan = plans.findIndex((each) => each.name === chosen.plan);
    const control = controls.findIndex((each) => each.id === chosen.control);
    const naming = data.together.map((set) => set.includes(control));
    const from = startOfDay(chosen.from), until = startOfDay(chosen.until) + DAY;
    const words = chosen.text.toLowerCase();
    const ended = new Set(chosen.outcomes.map((word) => outcomes.indexOf(word)));
    const holds = (row) => runs.run[row].toLowerCase().includes(words)
      || plans[runs.plan[row]].name.toLowerCase().includes(words);
    found = every.filter((row) =>
      (!chosen.plan || runs.plan[row] === plan) && (!chosen.control || naming[runs.controls[row]])
      && !(runs.due[row] < from) && !(runs.due[row] >= until)
      && (!ended.size || ended.has(runs.outcome[row])) && (!words || holds(row)));
  }

  function sorted() {
    const column = view.sort === "plan" ? runs.plan.map((plan) => plans[plan].name) : runs[view.sort];
    const way = view.order === "asc" ? 1 : -1;
    return [...found].sort((a, b) => {
      const [one, other] = [column[a], column[b]];
      if (one === other) return runs.due[b] - runs.due[a] || b - a;
      if (one === null || other === null) return one === null ? 1 : -1;
      return (one < other ? -1 : 1) * way;
    });
  }

  let waiting = 0;

  /** The list at once; what takes longer to draw in the next frame, so that typing is never held up. */
  function show() {
    choose();
    showTold();
    showRuns();
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => {
      showCalendar();
      showTrends();
      showControls();
    });
  }

  function showTold() {
    const all = many(every.length, "slot", "slots"), isAll = found.length === every.length;
    const verb = found.length === 1 ? "is" : "are";
    byId("told").textContent = `${isAll ? "All" : counted(found.length)} of ${all} ${verb} shown.`;
  }

  // --- The table of runs ---

  function showRuns() {
    const start = view.page * PAGE;
    const shown = sorted().slice(start, start + PAGE);
    byId("rows").replaceChildren(...(shown.length ? shown.map(rowFor)
      : [el("tr", { role: "row" }, el("td", { role: "cell", colspan: 7 }, NOTHING))]));
    for (const head of byId("heads").children) {
      const isSorted = head.dataset.sort === view.sort;
      head.setAttribute("aria-sort", !isSorted ? "none" : view.order === "asc" ? "ascending" : "descending");
    }
    byId("sort").value = `${view.sort} ${view.order}`;
    pager("runs-pager", {
      words: `${counted(start + 1)} to ${counted(start + shown.length)} of ${counted(found.length)}`,
      page: view.page, last: lastPage(found.length, PAGE), turn: (page) => { view.page = page; showRuns(); },
    });
  }

  function rowFor(row) {
    const entry = runs.entry[row], name = bdi(runs.run[row] || "no sealed record");
    const anchored = el("span", { class: "quiet small" }, stampOf(entry) ? " anchored" : " not anchored");
    return el("tr", { role: "row" },
      cell("", sign(outcomes[runs.outcome[row]])),
      cell("Due", minute(runs.due[row])),
      cell("Plan", bdi(plans[runs.plan[row]].name)),
      cell("RTO", measuredIn(row, "rto")),
      cell("RPO", measuredIn(row, "rpo")),
      cell("Log entry", ...(entry === null ? ["–"] : [counted(entry), anchored])),
      rowHead("Run", entry === null ? name : el("a", { href: `#run/${entry}` }, name)));
  }

  function measuredIn(row, name) {
    const measured = runs[name][row], limit = runs[`${name}Limit`][row];
    const isBeyond = measured !== null && limit !== null && measured > limit;
    return el("span", isBeyond ? { class: "sign fail" } : {}, isBeyond ? "✕ " : "", beside(measured, limit));
  }

  const stampOf = (entry) => data.anchors.find(([size]) => size > entry);

  // --- The calendar ---

  const UNITS = {
    day: { of: (at) => Math.floor(at / DAY), start: (n) => n * DAY },
    // 1970-01-01 was a Thursday: three days on, weeks begin on Mondays
    week: { of: (at) => Math.floor((Math.floor(at / DAY) + 3) / 7), start: (n) => (n * 7 - 3) * DAY },
    month: {
      of: (at) => new Date(at * 1000).getUTCFullYear() * 12 + new Date(at * 1000).getUTCMonth(),
      start: (n) => Date.UTC(Math.floor(n / 12), n % 12) / 1000,
    },
  };

  let drawnWidth = 0;

  /** The columns in sight, each a day, week or month; `view.back` counts pages from the newest, -1 is ahead of it. */
  function columnsOf(place, hasNext) {
    const unit = UNITS[view.unit], names = small.matches ? 0 : 11 * 16;
    const width = Math.max(7, Math.min(62, Math.floor((place.clientWidth - names) / CELL)));
    const newest = unit.of(Math.min(data.at, startOfDay(chosen.until) || Infinity));
    const first = found.reduce((least, row) => Math.min(least, runs.due[row] ?? least), data.at);
    const oldest = lastPage(newest - unit.of(first) + 1, width), last = newest - view.back * width;
    drawnWidth = place.clientWidth;
    place.style.setProperty("--columns", width);
    pager("calendar-pager", {
      words: `${day(unit.start(last - width + 1))} to ${day(unit.start(last + 1) - DAY)}`, labels: ["Earlier", "Later"],
      page: oldest - view.back, last: oldest + (hasNext ? 1 : 0),
      turn: (page) => { view.back = oldest - page; showCalendar(); },
    });
    return Array.from({ length: width }, (_, place) => last - width + 1 + place).map((n) => ({
      n, isNow: n === unit.of(data.at), from: day(unit.start(n)), until: day(unit.start(n + 1) - DAY),
    }));
  }

  function showCalendar() {
    const place = byId("calendar-table"), unit = UNITS[view.unit];
    const isWhole = !chosen.text && !chosen.outcomes.length && !chosen.control;
    const named = new Set(found.map((row) => runs.plan[row]));
    const others = [...plans.keys()].filter((plan) => isWhole && (!chosen.plan || plans[plan].name === chosen.plan));
    const inOrder = [...new Set([...named, ...others])].sort(byName);
    const shown = pageOfPlans("calendar-plans", inOrder, PLANS, "calendar", showCalendar);
    const columns = columnsOf(place, isWhole && !chosen.until);
    const slots = new Map(shown.map((plan) => [plan, new Map()]));
    for (const row of found) {
      const own = slots.get(runs.plan[row]), due = runs.due[row];
      if (own && due !== null) push(own, unit.of(due), row);
    }
    for (const plan of isWhole ? shown : []) {
      for (const at of plans[plan].next) push(slots.get(plan), unit.of(at), -1 - at);
    }
    const rows = shown.map((plan) => el("tr", { role: "row" }, rowHead("", ...nameOf(plans[plan])),
      ...columns.map((column) => slotCell(plan, column, slots.get(plan).get(column.n) || []))));
    const wasHere = place.contains(document.activeElement);
    place.replaceChildren(!rows.length ? el("p", {}, NOTHING)
      : table({ class: "calendar", "aria-label": "Slots by plan" }, headsOf(columns), rows));
    const stop = [...(rows.find((row) => row.querySelector("a"))?.querySelectorAll("a") ?? [])].pop();
    if (stop) stop.tabIndex = 0;
    if (stop && wasHere) stop.focus();
    byId("calendar-told").textContent = "";
  }

  function push(map, key, value) {
    if (map.has(key)) map.get(key).push(value);
    else map.set(key, [value]);
  }

  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

  /** Dates above the columns; a month, or a year, is named where it begins. */
  function headsOf(columns) {
    const isMonths = view.unit === "month", group = ({ from }) => from.slice(0, isMonths ? 4 : 7);
    const heads = columns.map((column, place) => {
      const isFirst = !place || group(column) !== group(columns[place - 1]);
      const isAlone = isFirst && columns[place + 1] && group(column) !== group(columns[place + 1]);
      const name = isMonths ? column.from.slice(0, 4) : MONTHS[Number(column.from.slice(5, 7)) - 1];
      const whole = isMonths ? column.from.slice(0, 7) : `${view.unit} of ${column.from}`;
      const head = headCell(el("span", { class: "unseen" }, whole),
        el("span", { "aria-hidden": "true", class: "group" }, isFirst && !isAlone ? name : ""),
        el("span", { "aria-hidden": "true" }, isMonths ? column.from.slice(5, 7) : column.from.slice(8)));
      head.className = `${isFirst ? "first" : ""} ${column.isNow ? "now" : ""}`;
      return head;
    });
    return [headCell(el("span", { class: "unseen" }, "Plan")), ...heads];
  }

  /** A plan's slots in one column: rows of `runs`, and slots to come as -1 minus their time. */
  function slotCell(plan, column, slots) {
    const rows = slots.filter((row) => row >= 0), made = el("td", { role: "cell" });
    if (column.isNow) made.className = "now";
    if (rows.length) made.append(slotLink(plan, column, rows));
    else if (slots.length) {
      const told = `due ${minute(-1 - slots[0])}`;
      const unseen = el("span", { class: "unseen" }, told);
      made.append(el("span", { class: "sign not-asked", title: told }, mark("due"), unseen));
    }
    return made;
  }

  function slotLink(plan, { n, from, until }, rows) {
    const times = new Map();
    for (const row of rows) times.set(runs.outcome[row], (times.get(runs.outcome[row]) || 0) + 1);
    const word = outcomes[Math.min(...times.keys())], isOne = rows.length === 1;
    const told = [...times].sort(([a], [b]) => a - b).map(([each, often]) => `${often} ${outcomes[each]}`).join(", ");
    const isOpened = isOne && runs.entry[rows[0]] !== null, { name } = plans[plan];
    return el("a", {
      class: `sign ${data.tones[word]}`, tabindex: -1, "data-column": n,
      href: isOpened ? `#run/${runs.entry[rows[0]]}` : address({ plan: name, from, until }),
      "aria-label": isOne ? `${name}, ${minute(runs.due[rows[0]])}: ${word}` : `${name}, ${from} to ${until}: ${told}`,
    }, mark(word), isOne ? "" : el("span", { class: "times" }, counted(rows.length)));
  }

  /** Arrow keys go from slot to slot; only one of them is a stop of the Tab key. */
  function moveInCalendar(event) {
    const here = event.target.closest("a[data-column]");
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
      Home: [-Infinity, 0], End: [Infinity, 0] };
    if (!here || !ways[event.key]) return;
    event.preventDefault();
    const [aside, down] = ways[event.key];
    const lines = [...here.closest("tbody").rows].map((line) => [...line.querySelectorAll("a")]);
    const at = lines.findIndex((line) => line.includes(here));
    const to = aside ? beyond(lines[at], lines[at].indexOf(here) + aside)
      : nearest(down > 0 ? lines.slice(at + 1) : lines.slice(0, at).reverse(), Number(here.dataset.column));
    if (!to) return;
    here.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }

  const beyond = (line, place) => line[Math.max(0, Math.min(line.length - 1, place))];

  function nearest(lines, column) {
    const line = lines.find((each) => each.length);
    const far = (link) => Math.abs(Number(link.dataset.column) - column);
    return line && line.reduce((best, link) => (far(link) < far(best) ? link : best));
  }

  function tellCell(event) {
    const link = event.target.closest("[aria-label]");
    if (link) byId("calendar-told").textContent = link.getAttribute("aria-label");
  }

  // --- RTO and RPO ---

  const HEIGHT = 104, BASE = 80, TOP = 16;

  function showTrends() {
    const byPlan = new Map();
    for (const row of found) {
      if (runs.rto[row] !== null || runs.rpo[row] !== null) push(byPlan, runs.plan[row], row);
    }
    const shown = pageOfPlans("trends-pager", [...byPlan.keys()].sort(byName), PLOTS, "plots", showTrends);
    byId("trends-list").replaceChildren(...(shown.length ? shown.map((plan) => trendsOf(plan))
      : [el("p", {}, "None of the chosen runs measured a time.")]));
  }

  function trendsOf(plan) {
    const rows = found.filter((row) => runs.plan[row] === plan && runs.due[row] !== null)
      .sort((a, b) => runs.due[a] - runs.due[b]);
    return el("section", { class: "plan", "aria-label": plans[plan].name }, el("h3", {}, ...nameOf(plans[plan])),
      el("div", { class: "trends" }, ...["rto", "rpo"].map((name) => trend(plan, rows, name)).filter(Boolean)));
  }

  function trend(plan, rows, name) {
    const measured = rows.filter((row) => runs[name][row] !== null);
    if (!measured.length) return null;
    const limits = runs[`${name}Limit`], newest = measured[measured.length - 1], limit = limits[newest];
    const values = measured.map((row) => runs[name][row]), worst = values.reduce((a, b) => Math.max(a, b));
    const highest = measured.reduce((most, row) => Math.max(most, limits[row] || 0), 0);
    const isShown = highest > 0 && highest <= 4 * worst;
    const top = (isShown ? Math.max(worst, highest) : worst) * 1.15 || 1;
    const [from, to] = [runs.due[rows[0]], runs.due[rows[rows.length - 1]]];
    const x = (row) => (from === to ? 50 : 1.5 + (97 * (runs.due[row] - from)) / (to - from));
    const y = (value) => BASE - ((BASE - TOP) * value) / top;
    const over = measured.filter((row) => limits[row] !== null && runs[name][row] > limits[row]).length;
    const title = name.toUpperCase(), middle = [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
    const told = `${title} of ${plans[plan].name}: ${many(measured.length, "run", "runs")} from ${day(from)}`
      + ` to ${day(to)}, the newest ${beside(runs[name][newest], limit)}, the median ${seconds(middle)},`
      + ` the longest ${seconds(worst)}, ${over} beyond the objective`;
    const path = `M${measured.map((row) => `${x(row).toFixed(2)} ${y(runs[name][row]).toFixed(1)}`).join("L")}`;
    const label = (attributes, text) => svg("text", { class: "label", y: BASE + 17, ...attributes }, text);
    const plot = svg("svg", { role: "img", "aria-label": told, class: "trend", width: "100%", height: HEIGHT },
      svg("line", { class: "base", x1: 0, x2: "100%", y1: BASE, y2: BASE }),
      svg("svg", { width: "100%", height: HEIGHT, viewBox: `0 0 100 ${HEIGHT}`, preserveAspectRatio: "none" },
        isShown ? svg("path", { class: "limit", d: steps(measured, limits, x, y) }) : "",
        svg("path", { class: "path", d: path })),
      isShown && limit ? label({ x: 0, y: Math.max(10, y(limit) - 5) }, `objective ${span(limit)}`) : "",
      label({ x: 0 }, day(from)), from === to ? "" : label({ x: "100%", "text-anchor": "end" }, day(to)),
      ...points(rows, measured, name, x, y));
    return el("figure", {}, el("figcaption", {}, el("b", {}, title), ` ${beside(runs[name][newest], limit)}`,
      el("span", { class: "quiet" }, over ? `, ${over} of ${counted(measured.length)} beyond` : "")), plot,
    highest > 0 && !isShown ? el("p", { class: "note" }, `objective ${span(highest)}, beyond this scale`) : "");
  }

  /** The objective as it was promised at each run: a line of steps. */
  function steps(measured, limits, x, y) {
    const known = measured.filter((row) => limits[row]);
    return known.map((row, n) => {
      const end = n + 1 < known.length ? x(known[n + 1]) : 100, height = y(limits[row]).toFixed(1);
      return `${n ? "L" : "M"}${(n ? x(row) : 0).toFixed(2)} ${height}L${end.toFixed(2)} ${height}`;
    }).join("");
  }

  /** A point for each of a few runs; of many, for those that did not pass or were too slow, and for the newest. */
  function points(rows, measured, name, x, y) {
    const limits = runs[`${name}Limit`], isFew = measured.length <= 60, newest = measured[measured.length - 1];
    const isBad = (row) => runs.outcome[row] !== PASSED || (limits[row] !== null && runs[name][row] > limits[row]);
    const told = (row, value) => svg("title", {}, `${minute(runs.due[row])} ${outcomes[runs.outcome[row]]} ${value}`);
    const drawn = measured.filter((row) => isFew || row === newest || isBad(row)).map((row) =>
      svg("circle", { class: isBad(row) ? "not-passed" : "passed", cx: `${x(row)}%`, cy: y(runs[name][row]),
        r: row === newest ? 4 : 3 }, told(row, seconds(runs[name][row]))));
    const unseen = rows.filter((row) => runs[name][row] === null && runs.outcome[row] < WAIVED);
    return [...drawn, ...unseen.map((row) => svg("text", { class: "unmeasured", x: `${x(row)}%`, y: BASE - 3,
      "text-anchor": "middle" }, "×", told(row, "not measured")))];
  }

  // --- Controls ---

  function showControls() {
    const tally = controls.map(() => ({ supports: 0, not: 0, newest: null }));
    for (const row of found) {
      const supported = data.together[runs.supports[row]];
      for (const place of data.together[runs.controls[row]]) {
        const one = tally[place];
        if (supported.includes(place)) {
          one.supports += 1;
          if (one.newest === null || runs.due[row] > runs.due[one.newest]) one.newest = row;
        } else one.not += 1;
      }
    }
    const shown = controls.map((_, place) => place).filter((place) => tally[place].supports || tally[place].not)
      .filter((place) => !chosen.control || controls[place].id === chosen.control)
      .sort((a, b) => (controls[a].id < controls[b].id ? -1 : 1));
    const heads = ["Control", "Asks for", "At least every", "Supported by", "Not shown by", "Newest support"];
    const lines = shown.map((place) => controlRow(controls[place], tally[place]));
    const label = "Controls named by what was chosen";
    byId("controls-list").replaceChildren(!lines.length ? el("p", {}, "What was chosen names no controls.")
      : table({ class: "controls", "aria-label": label }, heads.map((each) => headCell(each)), lines));
  }

  function controlRow(control, { supports, not, newest }) {
    const newestLink = () => el("a", { href: `#run/${runs.entry[newest]}` }, day(runs.due[newest]));
    return el("tr", { role: "row" },
      rowHead("", bdi(control.id)),
      cell("Asks for", bdi(control.words), el("span", { class: "quiet small" }, ` ${control.source}`)),
      cell("At least every", control.days ? `${control.days} days` : "–"),
      cell("Supported by", supports
        ? el("a", { href: address({ control: control.id, outcome: "passed" }) }, many(supports, "run", "runs"))
        : el("span", { class: "sign fail" }, "no run")),
      cell("Not shown by", not ? many(not, "slot", "slots") : "–"),
      cell("Newest support", newest === null ? "–" : newestLink()));
  }

  // --- One run ---

  const shards = new Map();
  const handed = new Map();
  window.musterPortal = (number, text) => handed.set(number, JSON.parse(text));

  /** The details of a run, from the script file that holds them. */
  function detailsOf(entry) {
    const number = Math.floor(entry / data.shard);
    if (!shards.has(number)) {
      shards.set(number, new Promise((resolve, reject) => {
        const script = el("script", { src: `runs/${String(number).padStart(6, "0")}.js` });
        script.onload = () => (handed.has(number) ? resolve(handed.get(number)) : reject());
        script.onerror = () => reject();
        document.head.append(script);
      }));
      shards.get(number).catch(() => shards.delete(number));
    }
    return shards.get(number).then((part) => part[entry] || Promise.reject());
  }

  const UNLOADED = "Its details could not be loaded: the folder “runs” has to be beside this page, and as new as it.";
  const UNLISTED = "This page knows no run at this entry of the log.";

  async function openRun(entry) {
    const row = rowOf.get(entry), state = byId("one-state");
    fillHead(row, entry);
    byId("one-warnings").replaceChildren();
    byId("one-body").hidden = true;
    state.textContent = row === undefined ? "" : "Loading its details.";
    turnTo(byId("one-title").textContent.trim());
    if (row === undefined) return;
    try {
      const details = await detailsOf(entry);
      if (location.hash !== `#run/${entry}`) return;
      fillRun(entry, details);
      state.textContent = "";
    } catch {
      state.textContent = UNLOADED;
    }
  }

  function fillHead(row, entry) {
    const head = byId("one-head"), [kind, ending] = byId("one-title").children;
    const isKnown = row !== undefined, word = isKnown ? outcomes[runs.outcome[row]] : "no such run";
    const plan = isKnown ? plans[runs.plan[row]] : null;
    head.className = isKnown ? data.tones[word] : "fail";
    kind.replaceChildren(...(isKnown ? [`${plan.kind} drill `, el("b", {}, bdi(plan.name))] : [`entry ${entry}`]));
    ending.textContent = word[0].toUpperCase() + word.slice(1);
    head.querySelector(".support").textContent = isKnown ? support(row) : UNLISTED;
    head.querySelector(".when").replaceChildren(...(isKnown ? [`due ${minute(runs.due[row])} UTC · `,
      el("code", {}, bdi(runs.run[row]))] : []));
    byId("beside").replaceChildren(...(isKnown ? neighbours(row) : []));
  }

  function support(row) {
    const named = data.together[runs.controls[row]], good = data.together[runs.supports[row]];
    if (!named.length) return "Its plan names no controls.";
    const list = (places) => places.map((place) => controls[place].id).join(", ");
    const rest = named.filter((place) => !good.includes(place));
    const words = good.length ? [`This run supports these controls: ${list(good)}.`] : [];
    if (rest.length) words.push(`It does not show what these controls ask for: ${list(rest)}.`);
    return words.join(" ");
  }

  function neighbours(row) {
    const own = every.filter((each) => runs.plan[each] === runs.plan[row] && runs.entry[each] !== null)
      .sort((a, b) => runs.due[a] - runs.due[b]);
    const at = own.indexOf(row);
    return [["earlier", own[at - 1]], ["later", own[at + 1]]].filter(([, other]) => other !== undefined)
      .flatMap(([word, other]) => [" · ", el("a", { href: `#run/${runs.entry[other]}` }, `${word} run of this plan`)]);
  }

  function warningsOf({ quarrel, isRead, isLate }) {
    const all = [
      [quarrel, "fail", "Contradicted:", quarrel],
      [!isRead, "fail", "Not read:", "its bundle was not read when this page was drawn, so its findings are not shown"],
      [isLate, "inconclusive", "Sealed late:",
        "more than a day after it ended; until then only its runner vouched for its times"],
    ];
    return all.filter(([is]) => is).map(([, tone, word, text]) =>
      el("li", {}, el("b", { class: `sign ${tone}` }, word), " ", bdi(text)));
  }

  function fillRun(entry, details) {
    byId("one-warnings").replaceChildren(...warningsOf(details));
    showPart("one-measures", details.measures.length, ".measures", details.measures.map(measureItem));
    const gravity = ["fail", "inconclusive", "pass", "not asked"];
    const findings = [...details.findings].sort((a, b) => gravity.indexOf(a[1]) - gravity.indexOf(b[1]));
    showPart("one-findings", findings.length, "tbody", findings.flatMap(findingRows));
    fillFiles(entry, details);
    byId("one-log").replaceChildren(...terms(details.log));
    byId("one-anchor").textContent = anchorWords(entry);
    byId("one-receipt").replaceChildren(...terms(details.receipt.length ? details.receipt
      : [["Receipt", "was not read when this page was drawn"]]));
    byId("one-facts").replaceChildren(...terms(details.facts));
    byId("one-body").hidden = false;
  }

  function showPart(id, isShown, inner, children) {
    byId(id).hidden = !isShown;
    byId(id).querySelector(inner).replaceChildren(...children);
  }

  const verdict = (word) => el("span", { class: `sign ${word.replace(" ", "-")}` },
    el("span", { "aria-hidden": "true" }, SIGNS[word]), ` ${word}`);

  function measureItem([name, measured, objective, word, note]) {
    const told = measured === null ? el("p", { class: "measured none" }, "not measured")
      : el("p", { class: "measured" }, seconds(measured));
    return el("li", {}, el("h3", {}, bdi(name)), told,
      el("p", {}, objective === null ? "no objective " : `objective ${span(objective)} `, verdict(word)),
      note ? el("p", { class: "note" }, bdi(note)) : "");
  }

  function findingRows([check, word, expected, seen, advice]) {
    const row = el("tr", { role: "row", class: advice ? "has-more" : "" }, el("td", { role: "cell" }, verdict(word)),
      rowHead("", bdi(check)), cell("Expected", bdi(expected)), cell("Seen", bdi(seen)));
    const more = el("td", { role: "cell", colspan: 4 }, el("p", { class: "advice" }, coded(advice)));
    return advice ? [row, el("tr", { role: "row", class: "more" }, more)] : [row];
  }

  function fillFiles(entry, { key, sha256 }) {
    const link = (label, path) => el("a", { href: `../${path}`, download: "" }, label);
    const links = [link("the bundle", key), ", ", link("its proof", `proofs/${key}.tlog-proof`), " and ",
      link("its receipt", `receipts/${key}.dsse.json`)];
    byId("one-files").replaceChildren(...(key ? links : ["nothing, since its key is not portable"]));
    const name = key.split("/").pop().replace(/\.tar\.gz$/, "");
    byId("one-commands").textContent = key && sha256 ? byId("commands").content.textContent
      .replaceAll("{RUN}", name).replaceAll("{ENTRY}", entry).replaceAll("{SHA256}", sha256) : "";
  }

  function anchorWords(entry) {
    const stamp = stampOf(entry);
    if (!stamp) return "Not anchored: no time-stamp covers this entry, so its time is the notary’s word alone.";
    const told = data.anchors.filter(([size]) => size === stamp[0]).map(([, who, at]) => `${minute(at)} UTC (${who})`);
    return `Anchored: every entry below ${counted(stamp[0])} existed by ${told.join(", by ")}.`;
  }

  // --- Where the page is ---

  const wholeTitle = document.title;
  let opener = "", height = 0;

  /** Show the overview, or one run with its title. */
  function turnTo(title) {
    const one = byId("one");
    if (title && one.hidden) height = window.scrollY;
    one.hidden = !title;
    byId("overview").hidden = Boolean(title);
    document.body.classList.toggle("one", Boolean(title));
    document.title = title ? `${title} · ${wholeTitle}` : wholeTitle;
    if (!title) return;
    byId("back").setAttribute("href", address());
    window.scrollTo({ top: 0, behavior: "instant" });
    one.focus({ preventScroll: true });
  }

  function follow() {
    const hash = location.hash.slice(1), wasOne = !byId("one").hidden, isList = hash === "" || hash.startsWith("?");
    if (hash === "content") return;
    if (/^run\/\d+$/.test(hash)) {
      openRun(Number(hash.slice(4)));
      return;
    }
    turnTo("");
    if (isList && `#${hash || "?"}` !== address()) {
      writeForm(new URLSearchParams(hash.slice(1)));
      restart();
      byId("runs").scrollIntoView();
      byId("runs").focus({ preventScroll: true });
    } else if (isList && wasOne) {
      window.scrollTo({ top: height, behavior: "instant" });
      (document.querySelector(`#overview a[href="${opener}"]`) || byId("runs")).focus({ preventScroll: true });
    } else if (byId(hash)) byId(hash).scrollIntoView();
  }

  function restart() {
    Object.assign(view, { page: 0, calendar: 0, plots: 0, back: 0 });
    readForm();
    show();
  }

  function warnIfOld() {
    const now = Date.now() / 1000, since = Math.floor((now - data.at) / DAY);
    const come = plans.reduce((sum, plan) => sum + plan.next.filter((at) => at > data.at && at <= now).length, 0);
    if (since < 1 && !come) return;
    byId("stale").hidden = false;
    const due = come ? `; since then at least ${many(come, "slot", "slots")} came due, whose end is not told here` : "";
    const drawn = since < 1 ? "today" : `${many(since, "day", "days")} ago`;
    byId("stale").textContent = `This page was drawn ${drawn}${due}.`;
  }

  function start() {
    document.documentElement.classList.add("on");
    const options = {
      plan: plans.map(({ name, ended }) => [name, ended ? `${name} (${ended})` : name]),
      control: controls.map(({ id }) => [id, id]),
    };
    for (const [field, names] of Object.entries(options)) {
      form.elements[field].append(...names.sort().map(([value, words]) => el("option", { value }, words)));
    }
    form.addEventListener("input", (event) => {
      const [from, until] = form.elements.period.value.split("/");
      if (event.target.name === "period") {
        form.elements.from.value = from || "";
        form.elements.until.value = until || "";
      } else if (["from", "until"].includes(event.target.name)) form.elements.period.value = "";
      restart();
      location.replace(address());
    });
    form.addEventListener("reset", () => setTimeout(() => { restart(); location.replace(address()); }));
    form.addEventListener("submit", (event) => event.preventDefault());
    byId("heads").addEventListener("click", (event) => {
      const head = event.target.closest("th[data-sort]");
      if (head) sortBy(head.dataset.sort, view.sort === head.dataset.sort && view.order === "desc" ? "asc" : "desc");
    });
    byId("sort").addEventListener("change", (event) => sortBy(...event.target.value.split(" ")));
    byId("units").addEventListener("change", (event) => {
      Object.assign(view, { unit: event.target.value, back: 0 });
      showCalendar();
    });
    const calendar = byId("calendar-table");
    calendar.addEventListener("keydown", moveInCalendar);
    calendar.addEventListener("focusin", tellCell);
    calendar.addEventListener("mouseover", tellCell);
    new ResizeObserver(() => {
      if (calendar.clientWidth && calendar.clientWidth !== drawnWidth) showCalendar();
    }).observe(calendar);
    document.addEventListener("click", (event) => {
      const link = event.target.closest("#overview a[href^='#run/']");
      if (link) opener = link.getAttribute("href");
    });
    addEventListener("hashchange", follow);
    readForm();
    show();
    warnIfOld();
    if (location.hash.length > 1) follow();
  }

  function sortBy(column, order) {
    Object.assign(view, { sort: column, order, page: 0 });
    showRuns();
  }

  start();
})();
