// Shows an opened problem: question and answer, tabs for its responses, and the chosen response. With
// a run beside, both runs' responses, and what has changed.

const kFinish = { eos: "ended by itself", length: "cut at the length limit", stop: "ended at a stop string" };

// `letter` tells the two runs of a page apart in ids and addresses: "" and "b".
function responseTabs(responses, letter, of, chosen, open) {
  const choose = (number) => {
    open(number);
    byId(`response-${letter}${number}`).focus();
  };
  const tabs = responses.map(({ success, pivotal }, i) => html("button", {
    type: "button", role: "tab", id: `response-${letter}${i + 1}`, "aria-controls": `responses${letter}`,
    "aria-selected": String(i + 1 === chosen), tabindex: i + 1 === chosen ? 0 : -1, click: () => choose(i + 1),
  }, html("span", { class: success ? "right" : "wrong" }, success ? "\u2713 right" : "\u2717 wrong"),
    pivotal.length > 0 && ` \u00b7 ${pivotal.length} pivotal`));
  const move = (event) => {
    const to = { ArrowRight: chosen + 1, ArrowLeft: chosen - 1, Home: 1, End: tabs.length }[event.key];
    if (!tabs[to - 1]) return;
    event.preventDefault();
    choose(to);
  };
  return html("div", { role: "tablist", "aria-label": `Responses${of}`, keydown: move }, tabs);
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

// Shows the responses of a problem in one run: `side` is {letter, name, entry, problem, gap}. Returns
// the node; open(number, k), which shows a response; reveal(), which leads to its token; and the number
// of the response to begin with, the first with pivotal tokens.
function responsesOf({ letter, name, entry, problem, gap }, id) {
  const { responses, answers } = problem, body = html("div", { class: "responses" });
  const of = run.beside ? ` of ${name}` : "";
  let view = null;
  const open = (number, k) => {
    const response = responses[number - 1], place = `${letter}${number}`;
    const choose = (to, at) => {
      open(to, at);
      writePlace(id, `${letter}${to}`, at);
    };
    const subject = { question: problem.question, run: name, place: address(id, place).slice(1) };
    view = responseView({ response, gap, answers, of, selected: k ?? null, link: (to) => linkTo(id, place, to),
      onSelect: (to) => writePlace(id, place, to),
      tools: pictureButtons(() => pictureOf(response, gap, subject), `${id}-${place}`.replace(/[^\w.-]+/g, "_")) });
    body.replaceChildren(responseTabs(responses, letter, of, number, choose),
      html("div", { id: `responses${letter}`, role: "tabpanel", "aria-labelledby": `response-${place}` },
        note(`${plural(response.tokens.length, "token")}, ${kFinish[response.finish] ?? response.finish}`
          + startNote(entry, response)), view.root));
  };
  if (!responses.length) {
    body.append(note(entry.searched ? "No responses are stored." : "Its responses were not searched."));
  }
  const first = 1 + Math.max(0, responses.findIndex(({ pivotal }) => pivotal.length > 0));
  return { body, open, reveal: () => view?.reveal(), letter, responses, first };
}

// Returns what the address asks for as {side, number, k}, and in `fault` a sentence if it is not here.
function placeIn(sides, { id, response, token }) {
  const first = { side: sides[0], number: sides[0].first, k: null };
  if (response === undefined || response === "") return first;
  const parts = /^(b?)([1-9]\d{0,8})$/.exec(response), named = `Problem ${visible(id)}`;
  const at = sides.find(({ letter }) => parts && letter === parts[1]), none = `so there is no response ${response}.`;
  const instead = (fault) => ({ ...first, fault });
  if (!parts) {
    return instead(`\u201c${visible(response)}\u201d names no response: they are 1, 2, \u2026, `
      + `and b1, b2, \u2026 in a run beside.`);
  }
  const alone = run.beside ? `${named} is not in the run beside` : "This page shows one run";
  if (!at) return instead(`${alone}, ${none}`);
  const number = Number(parts[2]), found = at.responses[number - 1], where = at.letter && " in the run beside";
  if (!found) return instead(`${named} has ${plural(at.responses.length, "searched response")}${where}, ${none}`);
  if (token === undefined || token === "") return { side: at, number, k: null };
  const k = /^[1-9]\d{0,8}$/.test(token) ? Number(token) : null, length = found.tokens.length;
  const fault = (k === null || k > length)
    && `Response ${response} has ${plural(length, "token")}, so there is no token ${visible(token)}.`;
  return { side: at, number, k: fault ? null : k, fault };
}

// Shows `entry`, a problem of the list, of which `problem` is the whole. `place` says what to open.
// Returns the nodes, and reveal(), which leads to the token that the address names.
function problemView(entry, problem, list, place) {
  const names = run.beside?.names ?? [run.title], both = problem.beside;
  const sides = [responsesOf({ letter: "", name: names[0], entry, problem, gap: run.gap }, entry.id)];
  if (both) {
    sides.push(responsesOf({ letter: "b", name: names[1], entry: entry.beside, gap: run.beside.gap,
      problem: { ...both, question: problem.question } }, entry.id));
  }
  const { side: at, number, k, fault } = placeIn(sides, place);
  for (const one of sides) if (one.responses.length) one.open(one === at ? number : one.first, one === at ? k : null);
  const show = (index, to) => {
    sides[index].open(to);
    writePlace(entry.id, `${sides[index].letter}${to}`);
    sides[index].body.scrollIntoView({ block: "nearest" });
  };
  const told = fault && html("p", { class: "message", role: "alert" }, fault);
  const nodes = [...problemHead(entry, problem, list), told];
  if (run.beside && !both) nodes.push(note(`This problem is not in ${names[1]}.`));
  if (both) {
    nodes.push(besideTable(entry, names), curvesFigure([problem, both], names, show),
      html("div", { class: "sides" }, sides.map(({ body }, i) =>
        html("section", { class: `side-${i}`, "aria-label": names[i] },
          html("h4", { class: "run-name" }, runMark(i), names[i]), body))));
  } else {
    nodes.push(sides[0].body);
  }
  return { nodes: nodes.filter(Boolean), reveal: k === null ? null : at.reveal };
}
