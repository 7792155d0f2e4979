// Shows an opened problem: question and answer, tabs for its responses, and the chosen response.

const kFinish = { eos: "ended by itself", length: "cut at the length limit", stop: "ended at a stop string" };

// Returns what the address names: #p=ID&r=RESPONSE&k=TOKEN. Responses and tokens count from 1.
function readPlace() {
  const place = new URLSearchParams(location.hash.slice(1));
  return { id: place.get("p"), response: Number(place.get("r")) || 1, k: Number(place.get("k")) || null };
}
const address = (id) => `#p=${encodeURIComponent(id)}`;
const writePlace = (id, response, k) =>
  history.replaceState(null, "", `${address(id)}&r=${response}${k ? `&k=${k}` : ""}`);

function responseTabs(responses, chosen, open) {
  const choose = (number) => {
    open(number);
    byId(`response-${number}`).focus();
  };
  const tabs = responses.map(({ success, pivotal }, i) => html("button", {
    type: "button", role: "tab", id: `response-${i + 1}`, "aria-controls": "response",
    "aria-selected": String(i + 1 === chosen), tabindex: i + 1 === chosen ? 0 : -1, click: () => choose(i + 1),
  }, html("span", { class: success ? "right" : "wrong" }, success ? "\u2713 right" : "\u2717 wrong"),
    pivotal.length > 0 && ` \u00b7 ${pivotal.length} pivotal`));
  const move = (event) => {
    const to = { ArrowRight: chosen + 1, ArrowLeft: chosen - 1, Home: 1, End: tabs.length }[event.key];
    if (!tabs[to - 1]) return;
    event.preventDefault();
    choose(to);
  };
  return html("div", { role: "tablist", "aria-label": "Responses", keydown: move }, tabs);
}

// Tells why the curve does not begin at the share of right samples, where the two differ.
function startNote({ samples, successes }, { p: [p0] }) {
  if (!samples || !known(p0) || p0.toFixed(2) === (successes / samples).toFixed(2)) return "";
  return ` \u00b7 the curve begins at ${fixed(p0, 2)}: it rests on the rollouts that left the responses, not on the `
    + `samples that became responses`;
}

function problemHead({ id, samples, successes }, { question, answer }, list) {
  const button = (text, click, kind) => html("button", { type: "button", class: kind, click }, text);
  const go = (step) => () => {
    const next = list.neighbour(id, step);
    if (next !== undefined) location.hash = address(next);
  };
  return [
    html("div", { class: "detail-head" }, html("h3", { id: "problem-id" }, visible(id)),
      html("div", { class: "moves" }, button("List", () => list.focus(id), "to-list"),
        button("Previous", go(-1)), button("Next", go(1)))),
    html("p", { class: "question" }, inText(question)),
    html("p", { class: "answer" }, "answer ", html("b", {}, inText(answer)),
      html("span", { class: "note" }, ` \u00b7 ${successes} of ${plural(samples, "sample")} right`))];
}

// `entry` is the problem in the summary, `problem` in its block; `place` says which response and token
// to open.
function problemView(entry, problem, list, place) {
  const { responses } = problem;
  const body = html("div");
  const open = (number, k) => {
    const response = responses[number - 1], length = response.tokens.length;
    const selected = k >= 1 && k <= length ? k : null;
    writePlace(entry.id, number, selected);
    body.replaceChildren(responseTabs(responses, number, open),
      html("div", { id: "response", role: "tabpanel", "aria-labelledby": `response-${number}` },
        note(`${plural(length, "token")}, ${kFinish[response.finish] ?? response.finish}` + startNote(entry, response)),
        responseView(response, run.gap, problem.answers, selected, (to) => writePlace(entry.id, number, to))));
  };
  if (responses.length) open(responses[place.response - 1] ? place.response : 1, place.k);
  else body.append(note(entry.searched ? "No responses are stored." : "Its responses were not searched."));
  return [...problemHead(entry, problem, list), body];
}
