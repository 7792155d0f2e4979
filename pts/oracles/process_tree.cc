// Apache-2.0.
#include "pts/oracles/process_tree.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

namespace pivotal::pts {
namespace {

namespace fs = std::filesystem;

std::string Folder(pid_t process) { return "/proc/" + std::to_string(process); }

int64_t OwnPages(pid_t process) {
  std::ifstream in(Folder(process) + "/statm");
  int64_t size = 0, resident = 0;
  in >> size >> resident;
  return resident;
}

}  // namespace

std::vector<pid_t> ChildrenOf(pid_t process) {
  std::vector<pid_t> children;
  std::error_code gone;
  for (fs::directory_iterator task(Folder(process) + "/task", gone), end; !gone && task != end;
       task.increment(gone)) {
    std::ifstream in(task->path() / "children");
    for (pid_t child; in >> child;) children.push_back(child);
  }
  return children;
}

int64_t ResidentBytes(pid_t root) {
  constexpr std::size_t kMany = 100'000;  // a tree that changes while it is read must end, too
  std::vector<pid_t> processes = {root};
  int64_t pages = 0;
  for (std::size_t i = 0; i < processes.size() && i < kMany; ++i) {
    pages += OwnPages(processes[i]);
    const auto children = ChildrenOf(processes[i]);
    processes.insert(processes.end(), children.begin(), children.end());
  }
  return pages * ::sysconf(_SC_PAGESIZE);
}

}  // namespace pivotal::pts
