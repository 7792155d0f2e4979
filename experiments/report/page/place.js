// Places on the page: page.html#PROBLEM/RESPONSE/TOKEN names a token, page.html#PROBLEM/RESPONSE a
// response. Both count from 1; b1 is the first response of the run beside. Ids are percent-encoded.

const encoded = (id) =>
  encodeURIComponent(id).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;  // somebody typed a lone %
  }
}

// Returns {id, response, token} as texts. An id with "/" may be typed as it is, unless that is the
// address of something else.
function readPlace(isProblem) {
  if (location.hash.length < 2) return { id: null };
  const parts = location.hash.slice(1).split("/").map(decoded);
  for (let n = 1; n <= parts.length; ++n) {
    const id = parts.slice(0, n).join("/");
    if (isProblem(id)) return { id, response: parts[n], token: parts[n + 1] };
  }
  return { id: parts[0] };
}

const address = (id, response, k) => `#${encoded(id)}${response ? `/${response}${k ? `/${k}` : ""}` : ""}`;
const linkTo = (id, response, k) => location.href.split("#")[0] + address(id, response, k);

// Writes a place into the address bar, once the reader rests there: browsers stop pages that do it at
// every key that is held down.
let placeTimer = 0;
const forgetPlace = () => clearTimeout(placeTimer);
function writePlace(id, response, k) {
  forgetPlace();
  placeTimer = setTimeout(() => history.replaceState(null, "", address(id, response, k)), 150);
}

// Puts a text on the clipboard. Returns false if the browser does not allow it.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {  // pages from disk may not use it in some browsers
    const box = html("textarea", { "aria-hidden": true, class: "aside" });
    box.value = text;
    const focused = document.activeElement;
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    focused?.focus();
    return done;
  }
}

// Returns a button that copies the address which link() returns, and what says so: "Copied", or the
// address itself where it cannot be copied.
function copyButton(link) {
  const state = html("div", { role: "status", class: "note" });
  const copy = async () => {
    const to = link();
    state.replaceChildren(await copied(to) ? "Copied" : html("code", {}, to));
  };
  return [html("button", { type: "button", class: "small", click: copy }, "Copy link"), state];
}

// Saves a file.
function save(blob, name) {
  const link = html("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
