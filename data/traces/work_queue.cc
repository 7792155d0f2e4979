// Apache-2.0.
#include "data/traces/work_queue.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/run_lock.h"

namespace pivotal::data {

namespace fs = std::filesystem;

WorkQueue::WorkQueue(fs::path folder, int64_t items,
                     const std::function<bool(int64_t)>& is_finished,
                     const std::function<bool(int64_t)>& do_again)
    : folder_(std::move(folder)), items_(items), claims_(static_cast<std::size_t>(items)) {
  const Descriptor lock = Lock();
  std::error_code error;
  fs::create_directory(folder_, error);
  if (error) Fail("{}: can't create the folder: {}", folder_.string(), ErrnoText(error.value()));
  const fs::path header = folder_ / "items";
  if (fs::exists(header, error)) {
    int64_t found = -1;
    std::istringstream(ReadFile(header)) >> found;
    if (found != items_)
      Fail("{}: it belongs to a search of {} problems, not {}", folder_.string(), found, items_);
  } else {
    WriteFile(header, std::to_string(items_) + "\n");
  }
  Read();
  while (!worker_file_) {
    worker_ = ++joined_;
    const fs::path path = WorkerFile(worker_);
    worker_file_ = Descriptor(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!worker_file_ && errno != EEXIST) Fail("{}: {}", path.string(), ErrnoText(errno));
  }
  if (flock(worker_file_.get(), LOCK_EX | LOCK_NB) != 0)
    Fail("{}: can't lock: {}", WorkerFile(worker_).string(), ErrnoText(errno));
  std::vector<int64_t> done, again;
  for (int64_t i = 0; i < items_; ++i) {
    if (!claims_[static_cast<std::size_t>(i)].finished) {
      if (is_finished(i)) done.push_back(i);
    } else if (do_again && do_again(i)) {
      again.push_back(i);
    }
  }
  Append(fmt::format("\njoined {} .\n", worker_));
  Write("finished", done);
  Write("again", again);
}

WorkQueue::~WorkQueue() {
  try {
    Leave([] {});
  } catch (const std::exception&) {
    // Its lock is freed all the same, so that other workers find its items.
  }
}

std::vector<int64_t> WorkQueue::Take(int64_t most, bool also_of_living) {
  if (!IsThere()) {
    finished_ = items_;
    return {};
  }
  const Descriptor lock = Lock();
  Read();
  const std::set<int64_t> others = Others();
  std::vector<int64_t> free;
  for (int64_t i = 0; i < items_; ++i) {
    const Claim& claim = claims_[static_cast<std::size_t>(i)];
    if (claim.finished || claim.worker == worker_) continue;
    if (claim.worker != 0) {
      const bool lives = others.contains(claim.worker);
      if (lives && !also_of_living) continue;
      if (!lives) lost_ += !std::exchange(dead_[claim.worker], true);
    }
    free.push_back(i);
  }
  // Half of an even division of the free items; the faster workers take the rest.
  const int64_t workers = std::ssize(others) + 1;
  const int64_t even = std::max<int64_t>(1, std::ssize(free) / (2 * workers));
  const int64_t count =
      std::min({most, workers == 1 || also_of_living ? most : even, std::ssize(free)});
  free.resize(static_cast<std::size_t>(count));
  Write("taken", free);
  return free;
}

void WorkQueue::Finish(const std::vector<int64_t>& items, const std::function<void()>& store) {
  if (!IsThere()) return;
  const Descriptor lock = Lock();
  store();
  Read();
  Write("finished", items);
}

bool WorkQueue::Leave(const std::function<void()>& last) {
  if (!worker_file_) return false;
  if (!IsThere()) {
    worker_file_.Reset();
    return false;
  }
  const Descriptor lock = Lock();
  Read();
  std::vector<int64_t> held;
  for (int64_t i = 0; i < items_; ++i) {
    const Claim& claim = claims_[static_cast<std::size_t>(i)];
    if (claim.worker == worker_ && !claim.finished) held.push_back(i);
  }
  const bool ends = finished_ == items_ && Others().empty();
  if (!ends) {
    Write("free", held);
    worker_file_.Reset();
    return false;
  }
  last();
  worker_file_.Reset();
  std::error_code error;
  fs::remove_all(folder_, error);
  if (error) Fail("{}: can't remove: {}", folder_.string(), ErrnoText(error.value()));
  return true;
}

// Reads the claims that were written since the last call. A line that a dying worker left
// incomplete is ignored.
void WorkQueue::Read() {
  std::ifstream in(folder_ / "claims", std::ios::binary);
  in.seekg(static_cast<std::streamoff>(read_));
  for (std::string text; std::getline(in, text) && !in.eof();) {
    read_ += text.size() + 1;
    if (!text.ends_with(" .")) continue;
    std::istringstream line(text);
    std::string what;
    int64_t worker = 0, item = -1;
    if (!(line >> what >> worker) || worker < 1) continue;
    joined_ = std::max(joined_, worker);
    if (what == "joined" || !(line >> item) || item < 0 || item >= items_) continue;
    Claim& claim = claims_[static_cast<std::size_t>(item)];
    if (claim.finished && what != "again") continue;
    finished_ += (what == "finished") - claim.finished;
    claim.worker = what == "free" || what == "again" ? 0 : worker;
    claim.finished = what == "finished";
  }
}

void WorkQueue::Write(const char* what, const std::vector<int64_t>& items) {
  if (items.empty()) return;
  std::string lines = "\n";  // ends the incomplete line that a dead worker may have left
  for (const int64_t item : items) lines += fmt::format("{} {} {} .\n", what, worker_, item);
  Append(lines);
  Read();
}

void WorkQueue::Append(const std::string& lines) {
  const fs::path path = folder_ / "claims";
  const Descriptor file = OpenFile(path, O_WRONLY | O_CREAT | O_APPEND);
  for (std::size_t done = 0; done < lines.size();) {
    const ssize_t written = write(file.get(), lines.data() + done, lines.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) Fail("{}: can't write: {}", path.string(), ErrnoText(errno));
    done += static_cast<std::size_t>(written);
  }
}

bool WorkQueue::Lives(int64_t worker) const {
  if (dead_.contains(worker)) return false;
  // With O_CREAT, an NFS client asks the server for a file that was not there when it last looked.
  const fs::path path = WorkerFile(worker);
  const Descriptor file = OpenFile(path, O_RDWR | O_CREAT);
  if (flock(file.get(), LOCK_EX | LOCK_NB) == 0) return false;
  if (errno != EWOULDBLOCK) Fail("{}: can't lock: {}", path.string(), ErrnoText(errno));
  return true;
}

Descriptor WorkQueue::Lock() const { return LockFile(folder_.string() + ".lock"); }

bool WorkQueue::IsThere() const { return IsStillAt(worker_file_, WorkerFile(worker_)); }

std::set<int64_t> WorkQueue::Others() const {
  std::set<int64_t> others;
  for (int64_t worker = 1; worker <= joined_; ++worker)
    if (worker != worker_ && Lives(worker)) others.insert(worker);
  return others;
}

fs::path WorkQueue::WorkerFile(int64_t worker) const {
  return folder_ / fmt::format("worker-{}", worker);
}

}  // namespace pivotal::data
