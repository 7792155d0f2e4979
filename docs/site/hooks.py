"""MkDocs hooks: the site has the repository's own Markdown files, at the paths that they have there.

So one relative link serves a repository browser and the site. A link to a source file leads to a page of the site that
shows it, a link to a public header to Doxygen's page of it. Doxygen's output lies in API, beside the site, and is copied
into it; its names are added to the search.
"""
import json
import logging
import pathlib
import re
import shutil
import xml.etree.ElementTree as ElementTree

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File
from mkdocs.structure.nav import Link

log = logging.getLogger("mkdocs.hooks")
ROOT = pathlib.Path(__file__).resolve().parents[2]
API = ROOT / "build" / "docs-api"
PAGES = ["README.md", "HACKING.md", "CHANGELOG.md", "LICENSE", "data/FORMATS.md", "docs/*.md", "bench/README.md",
         "kernels/cuda/README.md", "experiments/tiny/README.md", "experiments/small/README.md",
         "experiments/report/page/DATA.md", "experiments/ablation/REPORT.md",
         "experiments/ablation/recipes/**/[!ns]*.md"]  # notes.md and summary.md are parts of REPORT.md
PICTURES = ["docs/*.svg", "bench/*.svg", "experiments/ablation/recipes/**/*.svg"]
LANGUAGES = {".h": "cpp", ".cc": "cpp", ".cu": "cuda", ".py": "python", ".toml": "toml", ".txt": "cmake"}
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def found(patterns):
    for pattern in patterns:
        yield from sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


def target(page, link):
    """The path in the repository that `link` of `page` leads to; None where there is no such file."""
    path = (ROOT / page).parent.joinpath(link).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_file() and path.is_relative_to(ROOT) else None


def shown(page, link):
    """The source file that `link` of `page` leads to, if the site shows it as a page of its own."""
    path = target(page, link)
    return path if path and pathlib.Path(path).suffix not in (".md", ".svg", ".png") else None


def source_page(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    language = LANGUAGES.get(pathlib.Path(path).suffix, "text")
    return f"---\nsearch: {{exclude: true}}\nhide: [navigation, toc]\n---\n# {path}\n\n````{language}\n{text}\n````\n"


def api_page(header):
    """Doxygen's page of a public header."""
    name = pathlib.Path(header).name
    return "api/" + re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name.replace("_", "__").replace(".", "_8")) + ".html"


def on_startup(command, dirty):
    logging.getLogger("mkdocs").setLevel(logging.WARNING)  # --quiet would hide warnings from --strict


def on_files(files, config):
    sources = set()
    for path in found(PAGES + PICTURES):
        files.append(File(path, str(ROOT), config.site_dir, config.use_directory_urls))
        if path.endswith(".md"):
            text = (ROOT / path).read_text(encoding="utf-8")
            sources.update(filter(None, (shown(path, link) for link, _ in LINK.findall(text))))
    for path in sorted(sources):
        if not path.startswith("include/"):
            files.append(File.generated(config, f"source/{path}.md", content=source_page(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    here = page.file.src_uri
    up = "../" * here.count("/")

    def rewritten(match):
        path = shown(here, match[1])
        if not path:
            return match[0]
        if path.startswith("include/"):  # no page of MkDocs: the address in the built site
            return f"](https://site.invalid/{api_page(path)})"
        return f"]({up}source/{path}.md)"

    if here.startswith("source/"):
        return markdown
    for line in re.findall(r"^(?![-#>*|\s]|\d+\.).+\n(?:- |1\. )", FENCE.sub("", markdown), re.MULTILINE):
        log.warning("%s: a list wants an empty line before it: %s", here, line.split("\n")[0])
    return LINK.sub(rewritten, markdown)


def on_page_content(html, page, config, files):
    up = "../" * page.file.dest_uri.count("/")
    return html.replace("https://site.invalid/", up)


def on_nav(nav, config, files):
    for section in nav.items:
        if section.title == "Reference":
            section.children.append(Link("Classes and functions", "api/index.html"))
            section.children[-1].parent = section
    return nav


def api_entries():
    """Search entries of what Doxygen's tag file names."""
    for compound in ElementTree.parse(API / "pivotal.tag").getroot():
        name, file = compound.findtext("name"), compound.findtext("filename")
        if compound.get("kind") in ("class", "struct"):
            members = [member.findtext("name") for member in compound.findall("member")]
            yield {"location": f"api/{file}", "title": name.removeprefix("pivotal::"),
                   "text": f"{name}: {', '.join(dict.fromkeys(members))}"}
        elif compound.get("kind") == "namespace":
            for member in compound.findall("member"):
                own = member.findtext("name")
                yield {"location": f"api/{member.findtext('anchorfile')}#{member.findtext('anchor')}",
                       "title": own, "text": f"{name}::{own} {member.findtext('arglist') or ''}"}


@event_priority(-50)  # after the search index is written, before the plugin `offline` makes a script of it
def on_post_build(config):
    site = pathlib.Path(config.site_dir)
    shutil.copytree(API / "html", site / "api")
    index = site / "search" / "search_index.json"
    content = json.loads(index.read_text(encoding="utf-8"))
    content["docs"] += api_entries()
    index.write_text(json.dumps(content), encoding="utf-8")
