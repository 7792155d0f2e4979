// Draws a response as one picture for a paper or a slide: the curve of p(success) with pivotal tokens
// and what the other side of their pairs would have done, the tokens, and pivotal tokens in words.
// The ground is white, and every mark has its own attributes: no style sheet and no font from
// elsewhere is needed.

const kPicture = { width: 880, left: 52, right: 20, plot: 150, row: 25, character: 7.9, words: 12, told: 12 };
const kInks = { ink: "#1b2127", muted: "#57616b", line: "#d5dbe1", curve: "#0b62b8", box: "#f0f3f6" };
const kSides = {
  rises: { hue: [0, 114, 178], dark: "#00609a" },
  falls: { hue: [213, 94, 0], dark: "#ad4a00" },
};
const kSans = "'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";
const kMono = { "font-size": 13,
  "font-family": "'SF Mono', 'Cascadia Mono', 'DejaVu Sans Mono', 'Courier New', monospace" };

// Matches characters that take two columns of a monospaced font.
const kWide = new RegExp("[\\u1100-\\u115f\\u2e80-\\ua4cf\\uac00-\\ud7a3\\uf900-\\ufaff\\ufe30-\\ufe6f"
  + "\\uff00-\\uff60\\u{1f300}-\\u{1faff}]", "u");
const columns = (text) => [...text].reduce((sum, c) => sum + (kWide.test(c) ? 2 : 1), 0);
const cutTo = (text, most) => {
  if (columns(text) <= most) return text;
  const kept = [...text];
  while (columns(kept.join("")) > most - 1) kept.pop();
  return `${kept.join("")}\u2026`;
};
// Returns `text` in lines of at most `most` columns, `lines` of them at most.
function wrapped(text, most, lines) {
  const made = [""];
  for (const word of text.replace(/\s+/g, " ").trim().split(" ")) {
    const longer = made.at(-1) ? `${made.at(-1)} ${word}` : word;
    if (columns(longer) <= most) made[made.length - 1] = longer;
    else made.push(word);
  }
  const shown = made.filter(Boolean).slice(0, lines).map((line) => cutTo(line, most));
  if (made.length > lines) shown[lines - 1] = cutTo(`${shown[lines - 1]} \u2026`, most);
  return shown;
}

const tinted = ([r, g, b], share) =>
  `rgb(${[r, g, b].map((c) => Math.round(255 + (c - 255) * share)).join(", ")})`;
const sayText = (x, y, text, more = {}) => svg("text", { x: x.toFixed(1), y: y.toFixed(1), "font-family": kSans,
  "font-size": kPicture.words, fill: kInks.ink, ...more }, text);

// Returns the other side of a pivotal token's pair, {text, p}; null if it was not measured.
function otherSide(token, own) {
  const name = token.chosen === own ? "rejected" : "chosen", samples = token[`${name}_samples`];
  if (!(samples > 0) || !known(token[name])) return null;
  return { text: token[name], p: token[`${name}_successes`] / samples };
}

// Places the tokens: in one row below the curve if they fit there, else in lines. Returns the boxes
// {k, x, width, line, text}, the number of lines, and toX(k), where the curve shows p after k tokens.
function placeTokens(tokens) {
  const { width, left, right, character } = kPicture, room = width - left - right;
  const most = Math.floor(room / character) - 2;
  const texts = tokens.map((text) => cutTo(visible(text), most));
  const widths = texts.map((text) => Math.max(1.6, columns(text)) * character + 7);
  const sum = widths.reduce((a, b) => a + b, 0);
  if (sum <= room) {
    const stretch = Math.min(1.5, room / sum), edges = [left];
    for (const one of widths) edges.push(edges.at(-1) + one * stretch);
    const boxOf = (text, i) => ({ k: i + 1, x: edges[i], width: widths[i] * stretch, line: 0, text });
    return { boxes: texts.map(boxOf), lines: 1, toX: (k) => edges[k], end: edges.at(-1), aligned: true };
  }
  let x = left, line = 0;
  const boxes = texts.map((text, i) => {
    if (x > left && x + widths[i] > width - right) {
      x = left;
      ++line;
    }
    const box = { k: i + 1, x, width: widths[i], line, text };
    x += widths[i];
    if (tokens[i].includes("\n")) {
      x = left;
      ++line;
    }
    return box;
  });
  const toX = (k) => left + (k / tokens.length) * room;
  return { boxes, lines: boxes.at(-1).line + 1, toX, end: width - right, aligned: false };
}

// Draws a picture from top to bottom. `subject` is {question, run, place}: what it is of.
class Picture {
  constructor(response, gap, subject) {
    Object.assign(this, { response, gap, subject, ...placeTokens(response.tokens) });
    this.pivotal = new Map(response.pivotal.map((token, i) => [token.k, { ...token, number: i + 1 }]));
    this.title = wrapped(inText(subject.question.replace(/\s+/g, " ")), 108, 3);
    this.top = 34 + 19 * this.title.length + 26;  // of the plot
    this.nodes = [];
  }

  toY(p) { return this.top + (1 - p) * kPicture.plot; }
  add(...nodes) { this.nodes.push(...nodes); }
  say(x, y, text, more) { this.add(sayText(x, y, text, more)); }
  stroke(points, colour, width, dashes) {
    this.add(svg("path", { d: path(points), stroke: colour, "stroke-width": width, "stroke-dasharray": dashes,
      "stroke-linejoin": "round", fill: "none" }));
  }
  spot(x, y, r, more) { this.add(svg("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r, ...more })); }

  head() {
    const { title, response } = this, muted = { fill: kInks.muted };
    title.forEach((text, i) => this.say(16, 28 + 19 * i, text, { "font-size": 13.5, "font-weight": 600 }));
    this.say(16, 28 + 19 * title.length, `A ${response.success ? "right" : "wrong"} response. The curve is p(success): `
      + "the share of completions sampled after each token that end up right.", muted);
  }

  axes() {
    const { left } = kPicture, muted = { fill: kInks.muted }, middle = { ...muted, "text-anchor": "middle" };
    for (const p of [0, 0.5, 1]) {
      this.stroke([[left, this.toY(p)], [this.end, this.toY(p)]], kInks.line, 1);
      this.say(left - 8, this.toY(p) + 4, fixed(p, 1), { ...muted, "text-anchor": "end" });
    }
    if (this.aligned) return;
    const whole = ticks(0, this.response.tokens.length, 10).filter(([k]) => Number.isInteger(k));
    for (const [k, text] of whole) this.say(this.toX(k), this.toY(0) + 17, text, middle);
    this.say((left + this.end) / 2, this.toY(0) + 33, "token", middle);
  }

  curve() {
    const { p, low, high } = this.response, runs = knownRuns(p);
    const point = (k) => [this.toX(k), this.toY(p[k])], limit = (of) => (k) => [this.toX(k), this.toY(of[k] ?? p[k])];
    for (const ks of runs) {
      const band = path([...ks.map(limit(high)), ...ks.toReversed().map(limit(low))]);
      this.add(svg("path", { d: band, fill: kInks.curve, "fill-opacity": 0.14 }));
    }
    runs.forEach((ks, i) => {
      if (i) this.stroke([point(runs[i - 1].at(-1)), point(ks[0])], kInks.curve, 2, "2 4");
      this.stroke(ks.map(point), kInks.curve, 2);
      if (this.aligned) for (const k of ks) this.spot(...point(k), 2.4, { fill: kInks.curve });
    });
  }

  // Draws the step of each pivotal token, and, dashed, where p(success) goes with the other token.
  steps() {
    const { p, tokens } = this.response;
    for (const token of this.pivotal.values()) {
      const { k, before, after, number } = token, { dark } = kSides[side(after - before)];
      const from = [this.toX(k - 1), this.toY(p[k - 1] ?? before)], to = [this.toX(k), this.toY(p[k] ?? after)];
      const other = otherSide(token, tokens[k - 1]);
      if (other) {
        const fork = [to[0], this.toY(other.p)], colour = kSides[side(from[1] - fork[1])].dark;
        this.stroke([from, fork], colour, 1.6, "4 3");
        this.spot(...fork, 3.4, { fill: "#ffffff", stroke: colour, "stroke-width": 1.6 });
      }
      this.stroke([from, to], dark, 3.5);
      this.spot(...to, 4, { fill: dark });
      const bold = { fill: dark, "font-weight": 700, "text-anchor": "middle" };
      this.say(to[0], to[1] < from[1] ? to[1] - 9 : to[1] + 19, String(number), bold);
    }
  }

  // Draws the tokens. Returns where they end.
  tokens() {
    const top = this.toY(0) + (this.aligned ? 18 : 48), step = kPicture.row + 8;
    for (const { k, x, width, line, text } of this.boxes) {
      const token = this.pivotal.get(k), delta = token ? token.after - token.before : deltaAt(this.response, k) ?? 0;
      const { hue, dark } = kSides[side(delta)], y = top + line * step;
      const share = Math.min(1, Math.abs(delta) / kFullDelta) * 0.6;
      const fill = token ? tinted(hue, Math.max(0.3, share)) : share > 0.06 ? tinted(hue, share * 0.7) : kInks.box;
      this.add(svg("rect", { x: (x + 1).toFixed(1), y, width: (width - 2).toFixed(1), height: kPicture.row, rx: 4, fill,
        stroke: token && dark, "stroke-width": token && 1.5 }));
      this.say(x + width / 2, y + 17, text, { ...kMono, "text-anchor": "middle", "font-weight": token && 700 });
      const small = { "font-size": 10, "font-weight": 700, "text-anchor": "end", fill: dark };
      if (token) this.say(x + width - 1, y - 2, String(token.number), small);
    }
    return top + this.lines * step;
  }

  // Tells the pivotal tokens in words, from `y` on. Returns where the words end.
  words(y) {
    const { left, told } = kPicture, own = this.response.tokens;
    const mono = (text) => svg("tspan", { ...kMono, "font-size": 12, "font-weight": 700 }, cutTo(visible(text), 24));
    for (const token of [...this.pivotal.values()].slice(0, told)) {
      const { k, before, after, number } = token, other = otherSide(token, own[k - 1]);
      const bold = { "font-weight": 700, fill: kSides[side(after - before)].dark, "text-anchor": "end" };
      this.say(left, y, String(number), bold);
      this.say(left + 8, y, "");
      this.nodes.at(-1).append(mono(own[k - 1]), ` takes p(success) from ${fixed(before, 2)} to ${fixed(after, 2)}`,
        ...(other ? ["; with ", mono(other.text), ` instead ${fixed(other.p, 2)} on fresh rollouts`] : []),
        known(token.no_pair) ? "" : "; a pair to train on");
      y += 19;
    }
    const more = this.pivotal.size - told;
    if (more > 0) this.say(left + 8, y, `and ${plural(more, "more pivotal token")}`, { fill: kInks.muted });
    return y + (more > 0 ? 19 : 0) + (this.pivotal.size ? 6 : 0);
  }

  legend(y) {
    const muted = { fill: kInks.muted }, { run: name, place } = this.subject;
    let x = kPicture.left;
    for (const [{ hue, dark }, text] of [[kSides.rises, "raises p(success)"], [kSides.falls, "lowers it"]]) {
      const box = { x, y: y - 11, width: 15, height: 15, rx: 3 };
      this.add(svg("rect", { ...box, fill: tinted(hue, 0.45), stroke: dark, "stroke-width": 1.5 }));
      this.say(x + 21, y + 1, text, muted);
      x += 45 + 6.4 * text.length;
    }
    this.say(x, y + 1, `framed and numbered: pivotal, by ${this.gap} or more`, muted);
    const source = { ...muted, "font-size": 10.5, "text-anchor": "end" };
    this.say(kPicture.width - 16, y + 1, cutTo(`${cutTo(name, 24)} \u00b7 ${place}`, 48), source);
  }

  draw() {
    this.head();
    this.axes();
    this.curve();
    this.steps();
    const y = this.words(this.tokens() + 18);
    this.legend(y);
    const { width } = kPicture, height = Math.ceil(y + 18);
    const box = { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" };
    return svg("svg", { xmlns: "http://www.w3.org/2000/svg", ...box },
      svg("title", {}, this.title.join(" ")), svg("rect", { width, height, fill: "#ffffff" }), this.nodes);
  }
}
const pictureOf = (response, gap, subject) => new Picture(response, gap, subject).draw();

const pictureText = (picture) => new XMLSerializer().serializeToString(picture);

// Returns a PNG of the picture, three pixels for each of its own.
async function pixelsOf(picture) {
  const image = new Image(), [width, height] = ["width", "height"].map((side) => Number(picture.getAttribute(side)));
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(pictureText(picture))}`;
  await image.decode();
  const scale = Math.min(3, 16_000 / height);  // browsers draw no higher pictures
  const canvas = html("canvas", { width: Math.round(width * scale), height: Math.round(height * scale) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

// Returns buttons that save the picture which draw() returns as `name`.svg and `name`.png.
function pictureButtons(draw, name) {
  const state = html("span", { role: "status", class: "note" });
  const saveAs = async (kind, make) => {
    try {
      save(await make(draw()), `${name}.${kind}`);
      state.textContent = `Saved as ${name}.${kind}`;
    } catch (error) {
      state.textContent = `The picture cannot be drawn: ${error.message}`;
    }
  };
  const button = (kind, make) => html("button", { type: "button", class: "small", click: () => saveAs(kind, make),
    "aria-label": `Save a picture as ${kind.toUpperCase()}` }, kind.toUpperCase());
  return [html("span", { class: "note" }, "Picture"),
    button("svg", (picture) => new Blob([pictureText(picture)], { type: "image/svg+xml" })),
    button("png", pixelsOf), state];
}
