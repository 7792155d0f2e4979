// Apache-2.0.
#include "experiments/settings/input_files.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/tokenizer/tokenizer_files.h"
#include "model/lora.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSection = "files";

// The files of a model's folder that its loaders read, besides the weights and *.tiktoken.
constexpr std::array kModelFiles = {
    "config.json",           "generation_config.json",  "tokenizer.json",    "tokenizer.model",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"};

constexpr std::array<std::string_view, 4> kSystemFolders = {"/bin", "/sbin", "/usr/bin",
                                                            "/usr/sbin"};

bool IsFile(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// Returns true for a word of a shell's command, in a program's place, that another program follows.
bool RunsAnother(std::string_view word) {
  return word == "exec" || word == "env" || word.find('=') != std::string_view::npos;
}

// Returns the file that the shell runs for a name without "/": the first in PATH that the user may
// execute. Returns "" if there is none, or if it belongs to the system.
fs::path FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) return "";
  const char* set = std::getenv("PATH");
  std::string_view folders = set == nullptr ? "" : set;
  while (!folders.empty()) {
    const std::size_t end = std::min(folders.find(':'), folders.size());
    const fs::path path = fs::path(folders.substr(0, end)) / name;
    folders.remove_prefix(std::min(end + 1, folders.size()));
    if (!IsFile(path) || ::access(path.c_str(), X_OK) != 0) continue;
    std::error_code ignored;
    const fs::path folder = fs::canonical(path, ignored).parent_path();
    return std::ranges::find(kSystemFolders, folder.string()) == kSystemFolders.end() ? path : "";
  }
  return "";
}

}  // namespace

InputFiles::InputFiles(const ModelSettings& model) {
  for (const char* name : kModelFiles) Add(name, model.folder / name);
  if (const fs::path tiktoken = data::FindTiktokenFile(model.folder); !tiktoken.empty())
    Add(tiktoken.filename().string(), tiktoken);
  if (!model.adapter.empty())
    files_["adapter"] = {model.adapter, model::AdapterFingerprint(model.adapter)};
}

InputFiles::InputFiles(const SettingsFile& file) {
  for (const auto& [section, key, text] : file.All())
    if (section == kSection) file.Get(section, key, files_[key].sha256);
}

void InputFiles::Add(const std::string& name, const fs::path& path) {
  files_[name] = {path, IsFile(path) ? data::Sha256OfFile(path) : ""};
}

void InputFiles::Add(const std::string& name, const ProblemSettings& problems) {
  if (problems.file.empty()) return;
  Add(name, problems.file);
  AddOracle(problems.oracle);
}

void InputFiles::AddOracle(const std::string& oracle) {
  static constexpr std::string_view kCommand = "command:";
  if (!oracle.starts_with(kCommand)) return;
  const std::string_view command = std::string_view(oracle).substr(kCommand.size());
  // The shell runs the command; its words end at blanks, quotes and operators. The first word after
  // an operator is a program, and so is the word behind what only runs another.
  static constexpr std::string_view kEnds = " \t\r\n\"'`;&|<>()$", kOperators = "\n`;&|(";
  bool is_program = true;
  for (std::size_t begin = 0; begin < command.size();) {
    const std::size_t end = std::min(command.find_first_of(kEnds, begin), command.size());
    const std::string word(command.substr(begin, end - begin));
    if (!word.empty()) {
      fs::path path = is_program ? FindProgram(word) : "";
      if (path.empty() && IsFile(word)) path = word;
      if (!path.empty()) Add("oracle: " + word, path);
      is_program = is_program && RunsAnother(word);
    }
    if (end < command.size() && kOperators.find(command[end]) != std::string_view::npos)
      is_program = true;
    begin = end + 1;
  }
}

void InputFiles::Save(SettingsFile& file) const {
  for (const auto& [name, input] : files_) file.Set(kSection, name, input.sha256);
}

std::set<std::pair<std::string, std::string>> InputFiles::Keys() const {
  std::set<std::pair<std::string, std::string>> keys;
  for (const auto& [name, input] : files_) keys.emplace(kSection, name);
  return keys;
}

std::string InputFiles::Text() const {
  std::string text;
  for (const auto& [name, input] : files_) text += fmt::format("{} {}\n", name, input.sha256);
  return text;
}

void InputFiles::RequireUnchanged(const InputFiles& began, const fs::path& run) const {
  for (const auto& [name, then] : began.files_) {
    const auto found = files_.find(name);
    const File now = found == files_.end() ? File() : found->second;
    if (now.sha256 == then.sha256) continue;
    const std::string path = now.path.empty() ? name : now.path.string();
    if (then.sha256.empty())
      Fail("{}: did not exist when the run {} began; remove it, or start a new run", path,
           run.string());
    Fail("{}: {} since the run {} began; put the former file back, or start a new run", path,
         now.sha256.empty() ? "is gone" : "has changed", run.string());
  }
}

}  // namespace pivotal::experiments
