// Apache-2.0.
#include "pts/oracles/process_memory.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

namespace pivotal::pts {
namespace {

namespace fs = std::filesystem;

int64_t OwnPages(const std::string& process) {
  std::ifstream in(process + "/statm");
  int64_t size = 0, resident = 0;
  in >> size >> resident;
  return resident;
}

void AppendChildren(const std::string& process, std::vector<pid_t>& processes) {
  std::error_code gone;
  for (fs::directory_iterator task(process + "/task", gone), end; !gone && task != end;
       task.increment(gone)) {
    std::ifstream in(task->path() / "children");
    for (pid_t child; in >> child;) processes.push_back(child);
  }
}

}  // namespace

int64_t ResidentBytes(pid_t root) {
  constexpr std::size_t kMany = 100'000;  // a tree that changes while it is read must end, too
  std::vector<pid_t> processes = {root};
  int64_t pages = 0;
  for (std::size_t i = 0; i < processes.size() && i < kMany; ++i) {
    const std::string process = "/proc/" + std::to_string(processes[i]);
    pages += OwnPages(process);
    AppendChildren(process, processes);
  }
  return pages * ::sysconf(_SC_PAGESIZE);
}

}  // namespace pivotal::pts
