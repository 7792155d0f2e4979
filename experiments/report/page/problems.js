// Shows the list of problems with search, filters and order. Rows are made a hundred at a time, as
// the reader scrolls. Tab reaches one row; arrow keys, Page Up, Page Down, Home and End move on.

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
  const { id, samples, successes, pivotal, largest } = problem;
  const state = problem.searched ? (problem.complete ? null : "cut short") : "not searched";
  const bar = html("span", { class: "bar", "aria-hidden": true },
    html("span", { style: `width: ${(100 * successes) / (samples || 1)}%` }));
  const facts = [`${successes}/${samples} right`, pivotal > 0 && `${pivotal} pivotal`, state].filter(Boolean);
  return html("li", { "aria-posinset": index + 1, "aria-setsize": total },
    html("a", { class: "row", href: address(id), tabindex: index ? -1 : 0, "aria-current": id === opened && "true" },
      html("span", { class: "id" }, visible(id)),
      largest !== 0 && change(largest, signed(largest, 2)),
      html("span", { class: "question" }, inText(problem.question)),
      html("span", { class: "row-facts" }, bar, facts.join(" \u00b7 "))));
}

// Returns a function that is true for problems that pass the chosen filters.
function filterOf(chosen) {
  const groups = Object.values(Object.groupBy(chosen, ([name, , , group]) => group ?? name));
  return (problem) => groups.every((group) => group.some(([, , test]) => test(problem)));
}

// Fills the list. Returns mark(id), which shows a problem as open; neighbour(id, step), the id that
// many rows away; and focus(id).
function problemList(problems) {
  const rows = byId("rows"), search = byId("search"), sort = byId("sort");
  const texts = problems.map((p) => `${p.id}\n${p.question}`.toLowerCase());
  let shown = [], made = 0, opened = null;

  const place = (id) => shown.findIndex((p) => p.id === id);
  const focusRow = (index) => focusOne([...rows.querySelectorAll(".row")], index);
  const more = () => {
    const end = Math.min(shown.length, made + kChunk);
    rows.append(...shown.slice(made, end).map((p, i) => problemRow(p, made + i, shown.length, opened)));
    made = end;
    nearEnd.disconnect();
    if (made < shown.length) nearEnd.observe(rows.lastChild);
  };
  const nearEnd = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) more();
  }, { root: rows, rootMargin: "0px 0px 800px" });
  const update = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const passes = filterOf(kFilters.filter(([name]) => byId(`filter-${name}`).checked));
    shown = problems.filter((p, i) => passes(p) && words.every((word) => texts[i].includes(word)));
    const order = kOrders[sort.selectedIndex][2];
    if (order) shown.sort(order);
    rows.replaceChildren();
    rows.scrollTop = made = 0;
    more();
    byId("count").textContent = shown.length === problems.length
      ? plural(problems.length, "problem") : `${count(shown.length)} of ${plural(problems.length, "problem")}`;
  };

  byId("chips").append(...kFilters.map(([name, text, test]) => {
    const matching = problems.filter(test).length;
    const box = html("input", { type: "checkbox", id: `filter-${name}`, change: update, disabled: matching === 0 });
    return html("label", { class: "chip" }, box, text, html("b", {}, count(matching)));
  }));
  sort.append(...kOrders.map(([name, text]) => html("option", { value: name }, text)));
  sort.addEventListener("change", update);
  search.addEventListener("input", update);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  rows.addEventListener("keydown", (event) => {
    const at = [...rows.children].findIndex((row) => row.contains(event.target));
    const to = {
      ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 10, PageUp: at - 10, Home: 0, End: shown.length - 1,
    }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    const index = Math.max(0, Math.min(shown.length - 1, to));
    while (made <= index) more();
    focusRow(index);
  });

  update();
  return {
    mark(id) {
      opened = id;
      rows.querySelector("[aria-current]")?.removeAttribute("aria-current");
      const at = place(id);
      if (at < 0) return;
      while (made <= at) more();
      const row = rows.children[at], highest = row.offsetTop + row.offsetHeight - rows.clientHeight;
      row.firstChild.setAttribute("aria-current", "true");
      rows.scrollTop = Math.min(row.offsetTop, Math.max(highest, rows.scrollTop));
    },
    neighbour: (id, step) => shown[place(id) + step]?.id,
    focus(id) {
      if (!shown.length) {
        search.focus();
        return;
      }
      while (made <= place(id)) more();
      focusRow(Math.max(0, place(id)));
    },
  };
}
