// Apache-2.0.
#include "pts/oracles/code/process_tree.h"

#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <unordered_map>

namespace pivotal::pts {
namespace {

namespace fs = std::filesystem;

std::string Folder(pid_t process) { return "/proc/" + std::to_string(process); }

struct Status {
  pid_t parent = 0;
  int64_t threads = 0, pages = 0;
};

// Reads /proc/N/stat (proc(5)); nullopt for a process that is gone.
std::optional<Status> ReadStatus(pid_t process) {
  std::ifstream in(Folder(process) + "/stat");
  std::string text;
  if (!std::getline(in, text)) return std::nullopt;
  const auto name_end = text.rfind(')');  // a name may hold anything
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  Status status;
  std::string skipped;
  fields >> skipped >> status.parent;
  for (int i = 0; i < 15; ++i) fields >> skipped;
  fields >> status.threads;
  for (int i = 0; i < 3; ++i) fields >> skipped;
  fields >> status.pages;
  return fields ? std::optional(status) : std::nullopt;
}

// Calls `visit` with the number of every process.
template <typename Visit>
void ForEachProcess(const Visit& visit) {
  std::error_code gone;
  for (fs::directory_iterator entry("/proc", gone), end; !gone && entry != end;
       entry.increment(gone)) {
    const std::string name = entry->path().filename();
    pid_t process = 0;
    const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), process);
    if (error == std::errc() && stop == name.data() + name.size()) visit(process);
  }
}

// Finds children, and reads all of /proc at most once.
class Children {
 public:
  explicit Children(Kinship kinship) : from_files_(kinship == Kinship::kChildrenFiles) {
    if (from_files_) return;
    ForEachProcess([&](pid_t process) {
      if (const auto status = ReadStatus(process)) children_[status->parent].push_back(process);
    });
  }

  std::vector<pid_t> Of(pid_t process) const {
    if (from_files_) return FromFiles(process);
    const auto found = children_.find(process);
    return found == children_.end() ? std::vector<pid_t>() : found->second;
  }

 private:
  static std::vector<pid_t> FromFiles(pid_t process) {
    std::vector<pid_t> children;
    std::error_code gone;
    for (fs::directory_iterator task(Folder(process) + "/task", gone), end; !gone && task != end;
         task.increment(gone)) {
      std::ifstream in(task->path() / "children");
      for (pid_t child; in >> child;) children.push_back(child);
    }
    return children;
  }

  const bool from_files_;
  std::unordered_map<pid_t, std::vector<pid_t>> children_;
};

}  // namespace

Kinship BestKinship() {
  std::error_code ignored;
  static const bool files = fs::exists("/proc/thread-self/children", ignored);
  return files ? Kinship::kChildrenFiles : Kinship::kParents;
}

std::vector<pid_t> ChildrenOf(pid_t process, Kinship kinship) {
  return Children(kinship).Of(process);
}

TreeUse UseOfTree(pid_t root, Kinship kinship) {
  // Limit, because a tree that changes while it is read must end too.
  constexpr std::size_t kMany = 100'000;
  const Children children(kinship);
  std::vector<pid_t> processes = {root};
  TreeUse use;
  int64_t pages = 0;
  for (std::size_t i = 0; i < processes.size() && i < kMany; ++i) {
    if (const auto status = ReadStatus(processes[i])) {
      pages += status->pages;
      use.tasks += status->threads;
    }
    const auto more = children.Of(processes[i]);
    processes.insert(processes.end(), more.begin(), more.end());
  }
  use.bytes = pages * ::sysconf(_SC_PAGESIZE);
  return use;
}

int64_t TasksOfUser(uid_t user) {
  int64_t tasks = 0;
  ForEachProcess([&](pid_t process) {
    std::ifstream in(Folder(process) + "/status");
    int64_t threads = 0;
    bool own = false;
    for (std::string line; std::getline(in, line);) {
      std::istringstream fields(line);
      std::string key;
      int64_t value = -1;
      fields >> key >> value;
      if (key == "Uid:") own = value == static_cast<int64_t>(user);  // the real user
      if (key == "Threads:") threads = value;
    }
    if (own) tasks += threads;
  });
  return tasks;
}

}  // namespace pivotal::pts
