// Shows the list of problems with search, filters and order. Only rows around those that the reader
// sees are made, a hundred at a time, so that any of 10,000 problems opens at once. Tab reaches one
// row; arrow keys, Page Up, Page Down, Home and End move on.

const kChunk = 100;

// Filters as [name, text, test, group]. A problem must pass one filter of each group that is chosen.
const kFilters = [
  ["searched", "searched", (p) => p.searched],
  ["pivotal", "pivotal tokens", (p) => p.pivotal > 0],
  ["mixed", "right and wrong", (p) => p.successes > 0 && p.successes < p.samples],
  ["incomplete", "cut short", (p) => !p.complete],
  ["rise", "largest is a rise", (p) => p.largest > 0, "largest"],
  ["drop", "largest is a drop", (p) => p.largest < 0, "largest"],
];
// The same for a page of two runs.
const changeOf = (p) => p.beside?.change;
const kBesideFilters = [
  ["both", "in both runs", (p) => known(p.beside)],
  ["better", "measurably better", (p) => changeOf(p)?.[1] > 0, "between"],
  ["worse", "measurably worse", (p) => changeOf(p)?.[2] < 0, "between"],
];
const kBesideOrders = [
  ["better", "largest rise between the runs", (a, b) => (changeOf(b)?.[0] ?? 0) - (changeOf(a)?.[0] ?? 0)],
  ["worse", "largest drop between the runs", (a, b) => (changeOf(a)?.[0] ?? 0) - (changeOf(b)?.[0] ?? 0)],
];
const rate = (p) => (p.samples ? p.successes / p.samples : -1);
const kOrders = [
  ["file", "order of the run", null],
  ["rise", "largest rise", (a, b) => b.largest - a.largest],
  ["drop", "largest drop", (a, b) => a.largest - b.largest],
  ["pivotal", "most pivotal tokens", (a, b) => b.pivotal - a.pivotal],
  ["hard", "lowest p(success)", (a, b) => rate(a) - rate(b)],
  ["easy", "highest p(success)", (a, b) => rate(b) - rate(a)],
];

function problemRow(problem, index, total, opened) {
  const { id, samples, successes, pivotal, largest, beside } = problem;
  const state = problem.searched ? (problem.complete ? null : "cut short") : "not searched";
  const bar = ({ samples: n, successes: s }) => html("span", { class: "bar", "aria-hidden": true },
    html("span", { style: `width: ${(100 * s) / (n || 1)}%` }));
  const right = beside ? arrow(`${successes}/${samples}`, `${beside.successes}/${beside.samples}`)
    : `${successes}/${samples} right`;
  const found = (beside ? pivotal + beside.pivotal : pivotal) > 0
    && `${beside ? arrow(pivotal, beside.pivotal) : pivotal} pivotal`;
  const facts = [right, found, state].filter(Boolean);
  return html("li", { "aria-posinset": index + 1, "aria-setsize": total },
    html("a", { class: "row", href: address(id), tabindex: -1, "aria-current": id === opened && "true" },
      html("span", { class: "id" }, visible(id)),
      largest !== 0 && change(largest, signed(largest, 2)),
      html("span", { class: "question" }, inText(problem.question)),
      html("span", { class: "row-facts" }, bar(problem), beside && bar(beside), facts.join(" \u00b7 "))));
}

// Returns a function that is true for problems that pass the chosen filters.
function filterOf(chosen) {
  const groups = Object.values(Object.groupBy(chosen, ([name, , , group]) => group ?? name));
  return (problem) => groups.every((group) => group.some(([, , test]) => test(problem)));
}

// Fills the list; `two` tells that the page shows two runs. Returns mark(id), which shows a problem as
// open; neighbour(id, step), the id that many rows away; and focus(id).
function problemList(problems, two) {
  const rows = byId("rows"), search = byId("search"), sort = byId("sort");
  const all = [...kFilters, ...kBesideFilters];
  const counts = new Map(all.map(([name, , test]) => [name, problems.filter(test).length]));
  const filters = [...kFilters, ...kBesideFilters.filter(([name]) => counts.get(name) > 0)];
  const orders = two ? [...kOrders, ...kBesideOrders] : kOrders;
  const texts = problems.map((p) => `${p.id}\n${p.question}`.toLowerCase());
  // Rows from..end-1 of the problems shown are made.
  let shown = [], from = 0, end = 0, opened = null;

  const place = (id) => shown.findIndex((p) => p.id === id);
  const links = () => [...rows.querySelectorAll(".row")];
  const make = (first, last) => shown.slice(first, last).map((p, i) => problemRow(p, first + i, shown.length, opened));
  const watch = () => {
    nearEdge.disconnect();
    if (from > 0) nearEdge.observe(rows.firstChild);
    if (end < shown.length) nearEdge.observe(rows.lastChild);
  };
  const after = () => {
    const to = Math.min(shown.length, end + kChunk);
    rows.append(...make(end, to));
    end = to;
  };
  const before = () => {
    const to = Math.max(0, from - kChunk), height = rows.scrollHeight;
    rows.prepend(...make(to, from));
    from = to;
    rows.scrollTop += rows.scrollHeight - height;
  };
  const begin = (index) => {
    from = end = index;
    rows.replaceChildren();
    rows.scrollTop = 0;
    after();
    if (rows.firstChild) links()[0].tabIndex = 0;
  };
  // Makes the row of shown[index], with others around it.
  const reach = (index) => {
    if (index < from - kChunk || index >= end + kChunk) begin(Math.max(0, index - kChunk / 2));
    while (index < from) before();
    while (index >= end) after();
    watch();
    return rows.children[index - from];
  };
  const focusRow = (index) => {
    reach(index);
    focusOne(links(), index - from);
  };
  const nearEdge = new IntersectionObserver((entries) => {
    const near = entries.filter((entry) => entry.isIntersecting).map((entry) => entry.target);
    if (near.includes(rows.lastChild)) after();
    else if (near.includes(rows.firstChild)) before();
    watch();
  }, { root: rows, rootMargin: "800px 0px" });
  const update = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const passes = filterOf(filters.filter(([name]) => byId(`filter-${name}`).checked));
    shown = problems.filter((p, i) => passes(p) && words.every((word) => texts[i].includes(word)));
    const order = orders[sort.selectedIndex][2];
    if (order) shown.sort(order);
    begin(0);
    watch();
    byId("count").textContent = shown.length === problems.length
      ? plural(problems.length, "problem") : `${count(shown.length)} of ${plural(problems.length, "problem")}`;
  };

  byId("chips").append(...filters.map(([name, text, test]) => {
    const matching = counts.get(name);
    const box = html("input", { type: "checkbox", id: `filter-${name}`, change: update, disabled: matching === 0 });
    return html("label", { class: "chip" }, box, text, html("b", {}, count(matching)));
  }));
  sort.append(...orders.map(([name, text]) => html("option", { value: name }, text)));
  sort.addEventListener("change", update);
  search.addEventListener("input", update);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  rows.addEventListener("keydown", (event) => {
    const made = [...rows.children].findIndex((row) => row.contains(event.target)), at = from + made;
    const to = {
      ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 10, PageUp: at - 10, Home: 0, End: shown.length - 1,
    }[event.key];
    if (to === undefined || made < 0) return;
    event.preventDefault();
    focusRow(Math.max(0, Math.min(shown.length - 1, to)));
  });

  update();
  return {
    mark(id) {
      opened = id;
      rows.querySelector("[aria-current]")?.removeAttribute("aria-current");
      const at = place(id);
      if (at < 0) return;
      const row = reach(at), highest = row.offsetTop + row.offsetHeight - rows.clientHeight;
      row.firstChild.setAttribute("aria-current", "true");
      for (const link of links()) link.tabIndex = link === row.firstChild ? 0 : -1;
      rows.scrollTop = Math.min(row.offsetTop, Math.max(highest, rows.scrollTop));
    },
    neighbour: (id, step) => shown[place(id) + step]?.id,
    focus(id) {
      if (shown.length) focusRow(Math.max(0, place(id)));
      else search.focus();
    },
  };
}
