// Fills the page. Sections without data stay hidden. DATA.md describes the data.

const run = JSON.parse(byId("summary").textContent);

const parsed = new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve));
const blocks = new Map();
async function decodeBlock(index) {
  await parsed;  // the blocks come after this script in the page
  const bytes = Uint8Array.from(atob(byId(`block-${index}`).textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}
function readBlock(index) {
  if (!blocks.has(index)) blocks.set(index, decodeBlock(index));
  return blocks.get(index);
}

function showProblems({ problems, title }) {
  if (!problems?.length) return false;
  const detail = byId("detail"), list = problemList(problems);
  const entries = new Map(problems.map((problem) => [problem.id, problem]));
  const message = (text) => detail.replaceChildren(html("p", { class: "message" }, text));
  let wanted = null;
  const route = async () => {
    const place = readPlace(), entry = entries.get(place.id);
    wanted = place.id;
    list.mark(place.id);
    document.title = entry ? `${entry.id} \u00b7 ${title}` : title;
    if (place.id === null) return message("Choose a problem to see p(success) over the tokens of its responses.");
    if (!entry) return message(`There is no problem ${visible(place.id)} here.`);
    try {
      const block = await readBlock(entry.block);
      if (wanted !== entry.id) return;
      detail.replaceChildren(...problemView(entry, block[entry.index], list, place));
    } catch (error) {
      message(`Block ${entry.block} of this page cannot be read: ${error.message}`);
    }
    const { top } = detail.getBoundingClientRect();
    if (top < 0 || top > innerHeight / 2) detail.scrollIntoView();
  };
  addEventListener("hashchange", route);
  route();
  return true;
}

byId("title").textContent = document.title = run.title;
byId("version").textContent = `Pivotal ${run.version}`;
const kSections = { run: showRun, comparisons: showComparisons, training: showTraining, problems: showProblems };
for (const [id, show] of Object.entries(kSections)) {
  const section = byId(id);
  section.hidden = !show(run);
  if (section.hidden) continue;
  const text = section.querySelector("h2").textContent;
  byId("sections").append(html("button", { type: "button", click: () => section.scrollIntoView() }, text));
}
requestAnimationFrame(() => setTimeout(() => performance.mark("drawn")));
