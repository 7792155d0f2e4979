// Fills the sections above the list of problems. Each function returns false if there are no data
// for its section.

function showRun({ facts, settings, histogram, pivotal_share: share, calibration, gap }) {
  const shown = (value) => (typeof value === "number" ? count(value) : String(value));
  byId("facts").append(...(facts ?? []).map(([name, value]) => html("div", {}, term(name, shown(value)))));
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

function showComparisons({ comparisons }) {
  const tables = ({ unit, rows, differences }) => [
    rows.length > 0 && intervalTable(unit, rows, false),
    differences?.length > 0 && intervalTable(`difference in ${unit}`, differences, true)];
  byId("comparisons").append(...(comparisons ?? []).map((comparison) => html("div", { class: "comparison" },
    html("h3", {}, comparison.title), comparison.note && note(comparison.note),
    html("div", { class: "tables" }, tables(comparison)))));
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
