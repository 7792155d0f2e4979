// Apache-2.0. Traces in HDF5. The schema is in data/FORMATS.md; h5py and h5dump open the files.
#pragma once

#include <filesystem>
#include <string>
#include <unordered_set>
#include <vector>

#include "data/trace.h"

namespace pivotal::data {

// One HDF5 file with flat, compressed columns; ragged columns as values + offsets.
// Written aside and renamed. Throws Error (file, cause).
void WriteTraces(const std::filesystem::path& path, const std::vector<QueryTrace>& queries);

// Throws Error that names the file, and the dataset where one is at fault, if it is damaged,
// truncated, edited by another program or of another schema version.
std::vector<QueryTrace> ReadTraces(const std::filesystem::path& path);

// The traces of a run folder: RUN/shards/*.h5 while it runs, RUN/traces.h5 once consolidated.
class TraceStore {
 public:
  explicit TraceStore(std::filesystem::path run);

  // Adds one finished group of queries as its own shard. RUN must exist.
  void Append(const std::vector<QueryTrace>& queries);
  // Ids of all queries stored so far.
  std::unordered_set<std::string> FinishedIds() const;
  // All stored queries: traces.h5, then the shards in the order in which they were written. Another
  // process may write meanwhile: what is returned was stored at one moment.
  std::vector<QueryTrace> ReadAll() const;
  // Joins everything into traces.h5 and removes the shards. Queries come in the order of `ids`, where it is given; those that
  // are not among them stand behind.
  void Consolidate(const std::vector<std::string>& ids = {});

 private:
  std::filesystem::path run_;
};

}  // namespace pivotal::data
