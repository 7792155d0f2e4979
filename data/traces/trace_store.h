// Apache-2.0. The traces of a run folder.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_set>
#include <vector>

#include "pivotal/trace.h"

namespace pivotal::data {

// Stores the traces of a run folder: in RUN/shards/*.h5 while the search runs, in RUN/traces.h5
// once they are consolidated.
class TraceStore {
 public:
  // `worker` is the number of this process among several that search RUN together, 0 if it is
  // alone. No two of them write a shard of the same name, even if one cannot see what the other has
  // just written, as on NFS.
  explicit TraceStore(std::filesystem::path run, int64_t worker = 0);

  // Writes a finished group of queries as a new shard, shards/NUMBER.h5 or
  // shards/NUMBER-WORKER.h5. RUN must exist.
  void Append(const std::vector<QueryTrace>& queries);
  // Returns the ids of all stored queries, or of those that are stored without a failed verdict.
  // For a process that writes RUN: they make sure that an NFS client does not answer from memory.
  std::unordered_set<std::string> FinishedIds() const;
  std::unordered_set<std::string> JudgedIds() const;
  // Returns all stored queries: those of traces.h5, then those of the shards in the order in which
  // they were written. Of a query that is stored several times, the one with the fewest failed
  // verdicts counts, and among equals the first. Another process may write meanwhile; the result is
  // the state at one moment.
  std::vector<QueryTrace> ReadAll() const;
  // Joins all traces into traces.h5 and removes the shards. Queries are sorted by the order of
  // `ids`; queries that are not in `ids` follow in the order in which they were stored.
  void Consolidate(const std::vector<std::string>& ids = {});

 private:
  std::filesystem::path run_;
  int64_t worker_;
  uint64_t number_ = 0;  // of the newest shard that this object has written
};

// A file of traces with its inode and time, which distinguish it from a later file of the same
// name: after Consolidate(), shards are numbered from 1 again.
struct TraceFile {
  std::filesystem::path path;
  ino_t inode = 0;  // 0: the file does not exist
  timespec changed = {};

  bool operator==(const TraceFile& other) const {
    return path == other.path && inode == other.inode && changed.tv_sec == other.changed.tv_sec &&
           changed.tv_nsec == other.changed.tv_nsec;
  }
};

// Lists all files of traces of a run in reading order, traces.h5 first, whether it exists or not.
// The shards are looked up before traces.h5, so that queries of shards that Consolidate() removes
// meanwhile are found in traces.h5. Partial files do not count.
std::vector<TraceFile> TraceFiles(const std::filesystem::path& run);

// Returns all stored queries of a run folder, for commands that read runs. Throws Error where there
// is neither traces.h5 nor a shard: nothing has been stored so far, or the files were removed.
std::vector<QueryTrace> LoadRun(const std::filesystem::path& run);

}  // namespace pivotal::data
