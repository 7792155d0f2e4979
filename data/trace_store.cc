// Apache-2.0. The traces of a run folder.
#include "data/trace_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <unordered_map>
#include <utility>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/trace_file.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;

struct Shard {
  uint64_t number;
  fs::path path;
};

// The number of "000012.h5"; 0 for any other name.
uint64_t ShardNumber(const fs::path& path) {
  const std::string stem = path.stem().string();
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(stem.data(), stem.data() + stem.size(), number);
  const bool whole = error == std::errc() && end == stem.data() + stem.size();
  return whole && path.extension() == ".h5" ? number : 0;
}

// In the order in which they were written. Partial files ("000012.h5.tmp") are not among them.
std::vector<Shard> Shards(const fs::path& run) {
  std::vector<Shard> shards;
  const fs::path folder = run / "shards";
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error == std::errc::no_such_file_or_directory) return shards;
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const uint64_t number = ShardNumber(entries->path());
    if (number > 0) shards.push_back({number, entries->path()});
  }
  if (error) Fail("{}: can't read the folder: {}", folder.string(), ErrnoText(error.value()));
  std::sort(shards.begin(), shards.end(),
            [](const Shard& a, const Shard& b) { return a.number < b.number; });
  return shards;
}

// A file of traces and what tells it from another of the same name: once Consolidate() has run,
// shards are numbered from 1 again.
struct TraceFile {
  fs::path path;
  ino_t inode = 0;  // 0: there is none
  timespec changed = {};

  bool operator==(const TraceFile& other) const {
    return path == other.path && inode == other.inode && changed.tv_sec == other.changed.tv_sec &&
           changed.tv_nsec == other.changed.tv_nsec;
  }
};

// All files of traces in reading order. The shards are listed first: what Consolidate() removes
// meanwhile is then found in traces.h5.
std::vector<TraceFile> TraceFiles(const fs::path& run) {
  std::vector<Shard> shards = Shards(run);
  std::vector<TraceFile> files = {{run / "traces.h5"}};
  for (Shard& shard : shards) files.push_back({std::move(shard.path)});
  for (TraceFile& file : files) {
    struct stat status;
    if (stat(file.path.c_str(), &status) != 0) continue;
    file.inode = status.st_ino;
    file.changed = status.st_mtim;
  }
  return files;
}

// read(files), again and again until no file was replaced or removed while it read. Files that
// came meanwhile don't count: the search adds them all the time.
template <typename Read>
auto ReadUnchanged(const fs::path& run, Read read) {
  for (;;) {
    const std::vector<TraceFile> before = TraceFiles(run);
    std::vector<fs::path> there;
    for (const TraceFile& file : before) {
      if (file.inode != 0) there.push_back(file.path);
    }
    const auto unchanged = [&] {
      const std::vector<TraceFile> after = TraceFiles(run);
      return std::all_of(before.begin(), before.end(), [&](const TraceFile& file) {
        return std::find(after.begin(), after.end(), file) != after.end();
      });
    };
    try {
      auto result = read(there);
      if (unchanged()) return result;
    } catch (const Error&) {
      if (unchanged()) throw;
    }
  }
}

std::vector<QueryTrace> ReadFiles(const std::vector<fs::path>& files) {
  std::vector<QueryTrace> all;
  // A run killed inside Consolidate() has its queries both in traces.h5 and in shards.
  std::unordered_set<std::string> seen;
  for (const fs::path& file : files) {
    for (QueryTrace& query : ReadTraces(file)) {
      if (seen.insert(query.id).second) all.push_back(std::move(query));
    }
  }
  return all;
}

}  // namespace

TraceStore::TraceStore(fs::path run) : run_(std::move(run)) {}

void TraceStore::Append(const std::vector<QueryTrace>& queries) {
  if (queries.empty()) return;
  const fs::path folder = run_ / "shards";
  std::error_code error;
  fs::create_directory(folder, error);
  if (error) Fail("{}: can't create the folder: {}", folder.string(), ErrnoText(error.value()));
  const std::vector<Shard> shards = Shards(run_);
  const uint64_t number = shards.empty() ? 1 : shards.back().number + 1;
  WriteTraces(folder / fmt::format("{:06}.h5", number), queries);
}

std::unordered_set<std::string> TraceStore::FinishedIds() const {
  return ReadUnchanged(run_, [](const std::vector<fs::path>& files) {
    std::unordered_set<std::string> ids;
    for (const fs::path& file : files) {
      for (std::string& id : ReadTraceIds(file)) ids.insert(std::move(id));
    }
    return ids;
  });
}

std::vector<QueryTrace> TraceStore::ReadAll() const { return ReadUnchanged(run_, ReadFiles); }

void TraceStore::Consolidate(const std::vector<std::string>& ids) {
  const std::vector<Shard> shards = Shards(run_);
  std::error_code ignored;
  if (shards.empty() && fs::exists(run_ / "traces.h5", ignored)) return;
  std::unordered_map<std::string, std::size_t> places;
  for (const std::string& id : ids) places.emplace(id, places.size());
  const auto place_of = [&](const QueryTrace& query) {
    const auto found = places.find(query.id);
    return found != places.end() ? found->second : places.size();
  };
  std::vector<QueryTrace> queries = ReadAll();
  std::ranges::stable_sort(queries, {}, place_of);
  WriteTraces(run_ / "traces.h5", queries);
  for (const Shard& shard : shards) {
    std::error_code error;
    fs::remove(shard.path, error);
    if (error) Fail("{}: can't remove: {}", shard.path.string(), ErrnoText(error.value()));
  }
  fs::remove(run_ / "shards", ignored);  // only if nothing else is in it
}

}  // namespace pivotal::data
