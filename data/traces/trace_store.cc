// Apache-2.0.
#include "data/traces/trace_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>

#include "data/base/descriptor.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/traces/trace_file.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;

struct Shard {
  uint64_t number = 0;
  int64_t worker = 0;
  fs::path path;
};

// Reads "000012.h5" as the shard 12 of a process that is alone, "000012-3.h5" as that of worker 3.
// Returns nothing for a name that is not a shard's.
std::optional<Shard> ParseShard(const fs::path& path) {
  if (path.extension() != ".h5") return std::nullopt;
  Shard shard{.path = path};
  const std::string stem = path.stem().string();
  const char* const end = stem.data() + stem.size();
  auto read = std::from_chars(stem.data(), end, shard.number);
  if (read.ec == std::errc() && read.ptr != end && *read.ptr == '-')
    read = std::from_chars(read.ptr + 1, end, shard.worker);
  if (read.ec != std::errc() || read.ptr != end || shard.number == 0) return std::nullopt;
  return shard;
}

// Lists the shards in the order in which they were written. Partial files ("000012.h5.tmp") do not
// count.
std::vector<Shard> Shards(const fs::path& run) {
  std::vector<Shard> shards;
  const fs::path folder = run / "shards";
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error == std::errc::no_such_file_or_directory) return shards;
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    if (auto shard = ParseShard(entries->path())) shards.push_back(*std::move(shard));
  }
  if (error) Fail("{}: can't read the folder: {}", folder.string(), ErrnoText(error.value()));
  std::ranges::sort(shards, {},
                    [](const Shard& shard) { return std::pair(shard.number, shard.worker); });
  return shards;
}

// An NFS client may list a folder as it was a minute ago. It lists it anew once it has changed the
// folder itself.
void RefreshListing(const fs::path& folder) {
  const fs::path file = folder / "refresh.tmp";
  { const Descriptor made(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)); }
  ::unlink(file.c_str());
}

}  // namespace

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

namespace {

// Calls read(files) until no file was replaced or removed during the call, and returns its result.
// Files that are added meanwhile do not count: a running search adds them all the time.
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
  // After a kill inside Consolidate(), queries are both in traces.h5 and in shards. A query whose
  // verdicts failed may have been searched again.
  std::unordered_map<std::string, std::size_t> rows;
  for (const fs::path& file : files) {
    for (QueryTrace& query : LoadTraceFile(file)) {
      const auto [row, is_new] = rows.emplace(query.id, all.size());
      if (is_new) {
        all.push_back(std::move(query));
      } else if (query.failed_verdicts < all[row->second].failed_verdicts) {
        all[row->second] = std::move(query);
      }
    }
  }
  return all;
}

std::unordered_set<std::string> ReadIds(const fs::path& run, TraceIds which) {
  return ReadUnchanged(run, [which](const std::vector<fs::path>& files) {
    std::unordered_set<std::string> ids;
    for (const fs::path& file : files) {
      for (std::string& id : ReadTraceIds(file, which)) ids.insert(std::move(id));
    }
    return ids;
  });
}

}  // namespace

TraceStore::TraceStore(fs::path run, int64_t worker) : run_(std::move(run)), worker_(worker) {}

void TraceStore::Append(const std::vector<QueryTrace>& queries) {
  if (queries.empty()) return;
  const fs::path folder = run_ / "shards";
  std::error_code error;
  fs::create_directory(folder, error);
  if (error) Fail("{}: can't create the folder: {}", folder.string(), ErrnoText(error.value()));
  for (const Shard& shard : Shards(run_))
    if (shard.worker == worker_) number_ = std::max(number_, shard.number);
  ++number_;
  const std::string name = worker_ == 0 ? fmt::format("{:06}.h5", number_)
                                        : fmt::format("{:06}-{}.h5", number_, worker_);
  SaveTraces(folder / name, queries);
}

std::unordered_set<std::string> TraceStore::FinishedIds() const {
  RefreshListing(run_ / "shards");
  return ReadIds(run_, TraceIds::kAll);
}

std::unordered_set<std::string> TraceStore::JudgedIds() const {
  RefreshListing(run_ / "shards");
  return ReadIds(run_, TraceIds::kJudged);
}

std::vector<QueryTrace> TraceStore::ReadAll() const { return ReadUnchanged(run_, ReadFiles); }

void TraceStore::Consolidate(const std::vector<std::string>& ids) {
  RefreshListing(run_ / "shards");
  const std::vector<Shard> shards = Shards(run_);
  std::error_code ignored;
  if (shards.empty() && fs::exists(run_ / "traces.h5", ignored)) {
    fs::remove(run_ / "shards", ignored);  // a kill may have left the empty folder
    return;
  }
  std::unordered_map<std::string, std::size_t> ranks;
  for (const std::string& id : ids) ranks.emplace(id, ranks.size());
  const auto rank_of = [&](const QueryTrace& query) {
    const auto found = ranks.find(query.id);
    return found != ranks.end() ? found->second : ranks.size();
  };
  std::vector<QueryTrace> queries = ReadAll();
  std::ranges::stable_sort(queries, {}, rank_of);
  SaveTraces(run_ / "traces.h5", queries);
  for (const Shard& shard : shards) {
    std::error_code error;
    fs::remove(shard.path, error);
    if (error) Fail("{}: can't remove: {}", shard.path.string(), ErrnoText(error.value()));
  }
  fs::remove(run_ / "shards", ignored);  // fails, as it should, if other files are in it
}

std::vector<QueryTrace> LoadRun(const fs::path& run) {
  auto queries = TraceStore(run).ReadAll();
  std::error_code ignored;
  if (queries.empty() && !fs::exists(run / "traces.h5", ignored))
    Fail(
        "{}: there is no traces.h5 and no shard in this folder: its search has stored nothing so "
        "far, or they were removed; pivotal search --resume {} searches what is missing",
        run.string(), run.string());
  return queries;
}

}  // namespace pivotal::data
