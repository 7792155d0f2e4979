// Fills the page. Sections without data stay hidden. DATA.md describes the data.

const run = JSON.parse(byId("summary").textContent);

// Waits for an element that comes after this script in the page. It is whole when something follows.
function arrival(id) {
  return new Promise((resolve) => {
    const look = () => {
      if (document.readyState === "loading" && !byId(id)?.nextElementSibling) return;
      observer.disconnect();
      document.removeEventListener("DOMContentLoaded", look);
      resolve(byId(id));
    };
    const observer = new MutationObserver(look);
    observer.observe(document.body, { childList: true });
    document.addEventListener("DOMContentLoaded", look);
    look();
  });
}
const blocks = new Map();
async function decodeBlock(index) {
  const node = await arrival(`block-${index}`);
  if (!node) throw new Error("it is missing");
  const bytes = Uint8Array.from(atob(node.textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}
function readBlock(index) {
  if (!blocks.has(index)) blocks.set(index, decodeBlock(index));
  return blocks.get(index);
}

function showProblems({ problems, title }) {
  if (!problems?.length) return false;
  const detail = byId("detail"), list = problemList(problems, run.beside);
  const entries = new Map(problems.map((problem) => [problem.id, problem]));
  const first = problems.find((problem) => problem.pivotal > 0) ?? problems.find((problem) => problem.searched)
    ?? problems[0];
  const message = (text) => detail.replaceChildren(html("p", { class: "message", role: "alert" }, text));
  let wanted = null;
  const route = async () => {
    forgetPlace();
    const place = readPlace((id) => entries.has(id)), named = place.id !== null;
    const entry = named ? entries.get(place.id) : first;
    wanted = entry;
    list.mark(entry?.id ?? null);
    document.title = named && entry ? `${entry.id} \u00b7 ${title}` : title;
    if (!entry) {
      message(`There is no problem \u201c${visible(place.id)}\u201d on this page.`);
      detail.scrollIntoView();
      return;
    }
    let reveal = null;
    try {
      const block = await readBlock(entry.block);
      if (wanted !== entry) return;
      const view = problemView(entry, block[entry.index], list, place);
      detail.replaceChildren(...view.nodes);
      reveal = view.reveal;
    } catch (error) {
      message(`Block ${entry.block} of this page cannot be read: ${error.message}`);
    }
    if (!named) return;
    const { top } = detail.getBoundingClientRect();
    if (reveal) reveal();
    else if (top < 0 || top > innerHeight / 2) detail.scrollIntoView();
  };
  addEventListener("hashchange", route);
  route();
  return true;
}

byId("title").textContent = document.title = run.title;
byId("version").textContent = `Pivotal ${run.version}`;
explainOnDemand();
const kSections = {
  run: showRun, beside: showBeside, comparisons: showComparisons, problems: showProblems, training: showTraining };
for (const [id, show] of Object.entries(kSections)) {
  const section = byId(id);
  section.hidden = !show(run);
  if (section.hidden) continue;
  const text = section.querySelector("h2").textContent;
  byId("sections").append(html("button", { type: "button", click: () => section.scrollIntoView() }, text));
}
requestAnimationFrame(() => setTimeout(() => performance.mark("drawn")));
