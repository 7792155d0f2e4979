// Apache-2.0. Work that processes on one file system share out among themselves.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <vector>

namespace pivotal::data {

// Items 0..n-1, each done by one of the workers; no worker is special, any may come, go or die at any time. All is
// in FOLDER: `lock` guards the rest and is held for moments; `worker-N` is locked by worker N while it lives (flock: the
// system frees it, however the process ends; on NFS once the lease of a host that is gone has run out); `claims` has a line
// for each item that was taken, finished or given back.
class WorkShare {
 public:
  // Joins, and makes FOLDER where it is missing. `is_finished`: of items that nobody needs to do. Throws Error if the folder
  // can't be written, or is that of other work (another `items`).
  WorkShare(std::filesystem::path folder, int64_t items, const std::function<bool(int64_t)>& is_finished);
  // What it holds is free again for others.
  ~WorkShare();
  WorkShare(const WorkShare&) = delete;
  WorkShare& operator=(const WorkShare&) = delete;

  // Up to `most` free items, lowest first: those that nobody has taken, and those whose worker is dead. Near the end fewer,
  // so that workers end together. Empty where none is free: all are finished, or others are at work on them. With
  // `also_of_living` those are taken over: an item may then be done twice, so only where that does no harm, when it has
  // been long enough to suspect a host that hangs.
  std::vector<int64_t> Take(int64_t most, bool also_of_living = false);
  // Runs `store` while no other worker does so, then counts `items` as finished.
  void Finish(const std::vector<int64_t>& items, const std::function<void()>& store);
  // Leaves. Where this is the last worker that lives and nothing is left to do, runs `last` first and removes FOLDER.
  // Nobody can join meanwhile. True if it was.
  bool Leave(const std::function<void()>& last);

  // As of the last call of Take() or Finish().
  int64_t items() const { return items_; }
  int64_t finished() const { return finished_; }
  // Workers that died with items in their hands.
  int64_t lost_workers() const { return lost_; }

 private:
  class Guard;
  struct Claim {
    int64_t worker = 0;  // 0: free
    bool finished = false;
  };

  void Read();
  void Write(const char* what, const std::vector<int64_t>& items);
  bool Lives(int64_t worker) const;
  std::filesystem::path WorkerFile(int64_t worker) const;
  // Workers other than this one that live, of those that ever joined.
  std::set<int64_t> Others() const;

  std::filesystem::path folder_;
  int64_t items_;
  int64_t worker_ = 0, joined_ = 0;  // joined_: number of the newest worker
  int worker_file_ = -1;             // -1: has left
  std::vector<Claim> claims_;
  std::size_t read_ = 0;  // bytes of `claims` that claims_ has seen
  int64_t finished_ = 0, lost_ = 0;
  std::map<int64_t, bool> dead_;  // workers found dead; true: with items in their hands
};

}  // namespace pivotal::data
