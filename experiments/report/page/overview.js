// Fills the sections above the list of problems. Each function returns false if there are no data
// for its section.

const kTileWidth = 140;  // least width in pixels

// Returns a row of tiles [name, value, detail] without gaps: as many in a line as fit, the same in
// every line, and the last one fills what is left.
function tiles(facts) {
  const shown = (value) => (typeof value === "number" ? count(value) : String(value));
  const made = facts.map(([name, value, detail]) => {
    const label = explained(name), text = label.dataset.tip;
    label.removeAttribute("data-tip");
    return html("div", { "data-tip": text }, html("dt", {}, label), html("dd", {}, shown(value)),
      detail && html("dd", { class: "detail" }, detail));
  });
  const list = html("dl", { class: "tiles" }, made), n = made.length;
  onWidth(list, (width) => {
    const most = Math.max(1, Math.min(n, Math.floor(width / kTileWidth)));
    const holes = (columns) => (columns - (n % columns)) % columns;
    let columns = most;
    for (let fewer = most; fewer > most / 2; --fewer) if (holes(fewer) < holes(columns)) columns = fewer;
    list.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    made.at(-1).style.gridColumn = `span ${1 + holes(columns)}`;
  });
  return list;
}
function showRun({ facts, settings, histogram, pivotal_share: share, calibration, gap }) {
  if (known(gap)) {
    byId("about").append(html("b", {}, "A pivotal token"), " is a token of a response that raises or lowers "
      + `p(success), the probability that a completion sampled after it ends up right, by ${gap} or more.`);
  }
  if (facts?.length) byId("facts").append(tiles(facts));
  if (histogram?.counts.length) {
    const percent = share?.tokens ? ((100 * share.pivotal) / share.tokens).toFixed(2) : null;
    byId("figures").append(histogramFigure(histogram, gap,
      percent && `${count(share.pivotal)} of ${plural(share.tokens, "token")} are pivotal (${percent}%).`));
  }
  if (calibration?.length) byId("figures").append(calibrationFigure(calibration));
  const sections = Object.entries(Object.groupBy(settings ?? [], ([section]) => section));
  byId("settings").append(html("div", { class: "columns" }, sections.map(([name, rows]) => html("div", {},
    html("h3", {}, name), html("dl", {}, rows.flatMap(([, key, value]) => term(key, String(value))))))));
  byId("settings").hidden = !sections.length;
  return sections.length + byId("facts").childElementCount + byId("figures").childElementCount > 0;
}

function showComparisons({ comparisons, costs }) {
  const tables = ({ unit, rows, differences }) => [
    rows.length > 0 && intervalTable(unit, rows, false),
    differences?.length > 0 && intervalTable(`difference in ${unit}`, differences, true)];
  byId("comparisons").append(...(comparisons ?? []).map((comparison) => html("div", { class: "comparison" },
    html("h3", {}, comparison.title), comparison.note && note(comparison.note),
    html("div", { class: "tables" }, tables(comparison)))));
  if (costs?.length) byId("comparisons").append(html("div", { class: "figures" }, costs.map(costFigure)));
  return comparisons?.length > 0;
}

function showTraining({ training }) {
  const measured = ({ points }) => points.filter(([, value]) => known(value));
  const lines = (training ?? []).flatMap((run) =>
    run.series.map((series) => ({ series: series.name, name: run.name, points: measured(series) })));
  const plots = Object.entries(Object.groupBy(lines.filter(({ points }) => points.length), ({ series }) => series));
  byId("training").append(html("div", { class: "figures" }, plots.map(([name, runs]) => trainingFigure(name, runs))));
  return plots.length > 0;
}
