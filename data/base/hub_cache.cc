// Apache-2.0.
#include "data/base/hub_cache.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <vector>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/json_input.h"
#include "data/base/text.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMainBranch = "main";

bool IsNamePart(std::string_view part) {
  const auto fits = [](char c) {
    return IsLetter(c) || IsDigit(c) || c == '-' || c == '_' || c == '.';
  };
  return !part.empty() && part.front() != '.' && part.front() != '-' &&
         std::ranges::all_of(part, fits);
}

// Branches may hold slashes (refs/pr/1). Nothing may lead out of the folder of refs.
bool IsRevision(std::string_view text) {
  while (true) {
    const auto slash = text.find('/');
    if (!IsNamePart(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

std::string_view Prefix(HubKind kind) {
  return kind == HubKind::kModel ? "models--" : "datasets--";
}

std::string Environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

// Replaces ~, $NAME and ${NAME}, as the Hub's tools do. A variable that is not set stays as it is.
std::string Expanded(std::string text) {
  const std::string home = Environment("HOME");
  if (text == "~" || text.starts_with("~/")) text = home + text.substr(1);
  for (std::size_t at = 0; (at = text.find('$', at)) != std::string::npos;) {
    const bool braces = text.compare(at + 1, 1, "{") == 0;
    const std::size_t begin = at + 1 + (braces ? 1 : 0);
    std::size_t end = begin;
    while (end < text.size() && (IsLetter(text[end]) || IsDigit(text[end]) || text[end] == '_'))
      ++end;
    const std::size_t after = end + (braces ? 1 : 0);
    const char* value = std::getenv(text.substr(begin, end - begin).c_str());
    if (value == nullptr || (braces && text.compare(end, 1, "}") != 0)) {
      ++at;
      continue;
    }
    text.replace(at, after - at, value);
    at += std::string_view(value).size();
  }
  return text;
}

std::vector<std::string> Commits(const fs::path& repository) {
  std::vector<std::string> commits;
  if (!IsThere(repository / "snapshots")) return commits;
  for (const fs::path& path : PathsIn(repository / "snapshots"))
    commits.push_back(path.filename().string());
  std::ranges::sort(commits);
  return commits;
}

}  // namespace

std::optional<HubName> ParseHubName(std::string_view text) {
  const auto at = text.find('@');
  const std::string_view id = text.substr(0, at);
  const auto slash = id.find('/');
  if (slash == std::string_view::npos || !IsNamePart(id.substr(0, slash)) ||
      !IsNamePart(id.substr(slash + 1)) || id.find("--") != std::string_view::npos)
    return std::nullopt;
  if (at == std::string_view::npos) return HubName{std::string(id)};
  const std::string_view revision = text.substr(at + 1);
  if (!IsRevision(revision)) return std::nullopt;
  return HubName{std::string(id), std::string(revision)};
}

fs::path HubCacheFolder() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const std::string cache = Environment(name); !cache.empty()) return Expanded(cache);
  if (const std::string home = Environment("HF_HOME"); !home.empty())
    return fs::path(Expanded(home)) / "hub";
  const std::string caches = Environment("XDG_CACHE_HOME");
  return fs::path(Expanded(caches.empty() ? "~/.cache" : caches)) / "huggingface" / "hub";
}

std::string HubDownloadCommand(HubKind kind, const HubName& name) {
  std::string command = "hf download " + name.id;
  if (kind == HubKind::kDataset) command += " --repo-type dataset";
  if (!name.revision.empty()) command += " --revision " + name.revision;
  return command;
}

fs::path HubSnapshot(HubKind kind, const HubName& name) {
  std::string folder = name.id;
  ReplaceAll(folder, "/", "--");
  const fs::path cache = HubCacheFolder();
  const fs::path repository = cache / fmt::format("{}{}", Prefix(kind), folder);
  const std::string revision = name.revision.empty() ? kMainBranch : name.revision;
  const std::string command = HubDownloadCommand(kind, name);
  if (!IsThere(repository))
    Fail("{}: there is no such {}, and no {} of that name in the Hub's cache {}; download it: {}",
         name.id, kind == HubKind::kModel ? "folder" : "file",
         kind == HubKind::kModel ? "model" : "data set", cache.string(), command);
  std::string commit = revision;
  if (!IsThere(repository / "snapshots" / commit)) {
    const fs::path ref = repository / "refs" / revision;
    if (!IsThere(ref)) {
      const auto commits = Commits(repository);
      Fail("{}: {} has no revision {}{}; download it: {}", name.id, repository.string(), revision,
           commits.empty() ? ""
                           : fmt::format(" (what is there: {}@{})", name.id,
                                         fmt::join(commits, fmt::format(", {}@", name.id))),
           command);
    }
    commit = std::string(Trim(ReadFile(ref)));
    if (!IsNamePart(commit))
      Fail("{}: holds {}, not a commit; download it again: {}", ref.string(), Quoted(commit),
           command);
  }
  fs::path snapshot = repository / "snapshots" / commit;
  if (!IsThere(snapshot))
    Fail("{}: there is no folder {}; download it: {}", name.id, snapshot.string(), command);
  return snapshot;
}

HubName HubNameOf(HubKind kind, const fs::path& path) {
  const std::string_view prefix = Prefix(kind);
  HubName name;
  bool at_commit = false;  // the part before was "snapshots"
  for (const fs::path& part : Absolute(path).lexically_normal()) {
    const std::string text = part.string();
    if (name.id.empty()) {
      if (!text.starts_with(prefix) || text.size() == prefix.size()) continue;
      name.id = text.substr(prefix.size());
      ReplaceAll(name.id, "--", "/");
    } else if (at_commit) {
      name.revision = text;
      break;
    } else {
      at_commit = text == "snapshots";
    }
  }
  return name;
}

}  // namespace pivotal::data
