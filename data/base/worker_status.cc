// Apache-2.0.
#include "data/base/worker_status.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <system_error>
#include <tuple>

#include "data/base/descriptor.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/json_input.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;

constexpr auto kStatusEvery = std::chrono::seconds(1);
constexpr double kSilentAfter = 180;  // seconds without a sign from another machine

// Returns when a process of this machine started, in clock ticks: 0 if there is no such process, or
// only a zombie of it; -1 if the system does not tell.
int64_t StartOf(int64_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(in, text))
    return ::kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH ? 0 : -1;
  // The name of the program, in brackets, may hold anything; 20 fields follow up to the start time.
  std::istringstream rest(text.substr(std::min(text.rfind(')'), text.size() - 1) + 1));
  std::string field;
  for (int number = 3; number <= 22 && rest >> field; ++number)
    if (number == 3 && (field == "Z" || field == "X")) return 0;
  try {
    return std::stoll(field);
  } catch (const std::exception&) {
    return -1;
  }
}

std::string FirstLineOf(const char* path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string StatusText(const WorkerStatus& status) {
  const nlohmann::ordered_json json = {{"host", status.process.host},
                                       {"machine", status.process.machine},
                                       {"pid", status.process.pid},
                                       {"start", status.process.start},
                                       {"rank", status.rank},
                                       {"began", status.began},
                                       {"written", status.written},
                                       {"phase", status.phase},
                                       {"phase_began", status.phase_began},
                                       {"unit", status.unit},
                                       {"total", status.total},
                                       {"done", status.done},
                                       {"before", status.before},
                                       {"part", status.part},
                                       {"detail", status.detail},
                                       {"numbers", status.numbers}};
  return JsonLine(json);
}

WorkerStatus ParseStatus(const std::string& text, const std::string& where) {
  const nlohmann::json json = ParseJsonObject(text, where);
  WorkerStatus status;
  const auto whole = [&](const char* key, int64_t low = 0) {
    return CheckedInteger(RequireKey(json, key, where), low, int64_t{1} << 62, key, where);
  };
  const auto number = [&](const nlohmann::json& value, const std::string& key) {
    if (!value.is_number()) Fail("{}: {} is no number", where, key);
    return value.get<double>();
  };
  status.process = {RequireString(json, "host", where), RequireString(json, "machine", where),
                    whole("pid", 1), whole("start", -1)};
  status.rank = whole("rank");
  status.began = number(RequireKey(json, "began", where), "began");
  status.written = number(RequireKey(json, "written", where), "written");
  status.phase = RequireString(json, "phase", where);
  status.phase_began = number(RequireKey(json, "phase_began", where), "phase_began");
  status.unit = RequireString(json, "unit", where);
  status.total = whole("total");
  status.done = whole("done");
  status.before = whole("before");
  status.part = RequireString(json, "part", where);
  status.detail = RequireString(json, "detail", where);
  const nlohmann::json& numbers = RequireKey(json, "numbers", where);
  if (!numbers.is_object()) Fail("{}: numbers is no object", where);
  for (const auto& [name, value] : numbers.items())
    if (!value.is_null()) status.numbers[name] = number(value, name);
  return status;
}

// Writes `text` to `path` by way of `path`.tmp. Unlike a FileSink it does not wait for the disk:
// after a crash of the machine nobody needs the file. Returns false if it cannot be written.
bool Replace(const fs::path& path, std::string_view text) {
  const std::string partial = path.string() + ".tmp";
  bool written = false;
  if (const Descriptor file(
          ::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
      file)
    written = ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (written && std::rename(partial.c_str(), path.c_str()) == 0) return true;
  ::unlink(partial.c_str());
  return false;
}

}  // namespace

double UnixTime() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

ProcessName ProcessName::Own() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  std::error_code ignored;
  const fs::path space = fs::read_symlink("/proc/self/ns/pid", ignored);
  return {host.data(), FirstLineOf("/proc/sys/kernel/random/boot_id") + " " + space.string(),
          ::getpid(), StartOf(::getpid())};
}

WorkerLife LifeOf(const WorkerStatus& status, double now) {
  static const std::string own = ProcessName::Own().machine;
  if (status.process.machine != own)
    return now - status.written > kSilentAfter ? WorkerLife::kSilent : WorkerLife::kWorks;
  const int64_t start = StartOf(status.process.pid);
  const bool other = start > 0 && status.process.start > 0 && start != status.process.start;
  return start == 0 || other ? WorkerLife::kGone : WorkerLife::kWorks;
}

WorkersFound ReadWorkers(const fs::path& run) {
  WorkersFound found;
  const fs::path folder = run / kStatusFolder;
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error == std::errc::no_such_file_or_directory) return found;
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const fs::path path = entries->path();
    if (path.extension() != ".json") continue;
    try {
      found.workers.push_back(ParseStatus(ReadFile(path), path.string()));
    } catch (const Error& fault) {
      if (fs::exists(path, error)) found.faults.emplace_back(fault.what());  // else it has ended
      error.clear();
    }
  }
  if (error)
    found.faults.push_back(fmt::format("{}: {}", folder.string(), ErrnoText(error.value())));
  const auto key = [](const WorkerStatus& status) {
    return std::tuple(status.rank, status.began, status.process.host, status.process.pid);
  };
  std::ranges::sort(found.workers, {}, key);
  return found;
}

void RemoveStatus(const fs::path& run) {
  std::error_code ignored;
  fs::remove_all(run / kStatusFolder, ignored);
}

RecordedProgress::RecordedProgress(Progress& shown, const fs::path& run, std::string_view settings,
                                   int64_t rank)
    : shown_(shown),
      settings_(run / settings),
      file_(run / kStatusFolder / fmt::format("{:08x}.json", std::random_device()())) {
  status_.process = ProcessName::Own();
  status_.rank = rank;
  status_.began = status_.phase_began = UnixTime();
  Record(true);
}

void RecordedProgress::Begin(std::string_view phase, int64_t total, std::string_view unit,
                             int64_t done) {
  status_.phase = phase;
  status_.unit = unit;
  status_.detail.clear();
  status_.part.clear();
  status_.total = total;
  status_.done = status_.before = done;
  status_.phase_began = UnixTime();
  Record(true);
  shown_.Begin(phase, total, unit, done);
}

void RecordedProgress::Update(int64_t done, std::string_view detail) {
  status_.done = done;
  status_.detail = detail;
  Record(false);
  shown_.Update(done, detail);
}

void RecordedProgress::Tell(std::string_view part, std::span<const ProgressNumber> numbers) {
  if (!part.empty()) status_.part = part;
  for (const auto& [name, value] : numbers) status_.numbers[std::string(name)] = value;
  Record(false);
  shown_.Tell(part, numbers);
}

void RecordedProgress::End() {
  Record(false);
  shown_.End();
}

bool RecordedProgress::StopRequested() const {
  Record(false);
  return shown_.StopRequested();
}

void RecordedProgress::Close() {
  if (closed_) return;
  closed_ = true;
  if (!made_) return;
  std::error_code ignored;
  fs::remove(file_, ignored);
  fs::remove(file_.parent_path(), ignored);  // fails, as it should, if others have files there
}

void RecordedProgress::Record(bool now) const {
  if (closed_ || (!now && Clock::now() - recorded_ < kStatusEvery)) return;
  if (!now) recorded_ = Clock::now();  // short phases must not keep the others from being heard
  if (!made_) {
    std::error_code error;
    if (!fs::exists(settings_, error)) return;
    fs::create_directory(file_.parent_path(), error);
    if (error) return;
    made_ = true;
  }
  status_.written = UnixTime();
  Replace(file_, StatusText(status_));
}

}  // namespace pivotal::data
