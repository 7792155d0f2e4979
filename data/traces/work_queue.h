// Apache-2.0. Divides the items of a job among processes that share a file system.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "data/base/descriptor.h"

namespace pivotal::data {

// One worker of a job with the items 0..n-1, each of which is done by one worker. All workers are
// equal; any of them may join, leave or die at any time. The state is in FOLDER:
//   worker-N  is locked (flock) by worker N while it lives; the system frees the lock when the
//             process ends, on NFS when the lease of a lost host has run out
//   claims    has a line for each worker that joined, and for each item that was taken, finished or
//             given back, or is to be done again
// The file FOLDER.lock beside it guards these files. It is held for moments only and stays there.
//
// Written for NFS, too: which workers there are is read from `claims`, because a client may list a
// folder as it was a minute ago, and nothing is removed that this process has open, because NFS
// would keep it in FOLDER under another name.
class WorkQueue {
 public:
  // Joins the job, and creates FOLDER where it is missing. `is_finished` tells which items are done
  // already, `do_again` which of those that are finished must be done again (empty: none). Both are
  // called while no other worker stores. Throws Error if the folder cannot be written or belongs to
  // a job with another number of items.
  WorkQueue(std::filesystem::path folder, int64_t items,
            const std::function<bool(int64_t)>& is_finished,
            const std::function<bool(int64_t)>& do_again = {});
  // Leaves; items that this worker holds are free again for others.
  ~WorkQueue();
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // Takes up to `most` free items, lowest first: those that nobody has taken, and those whose
  // worker is dead. Takes fewer near the end, so that all workers end at about the same time.
  // Returns nothing where no item is free: all are finished, or other workers hold them.
  // `also_of_living` also takes items of workers that live, for when a host is suspected to hang.
  // An item may then be done twice, which must do no harm. If FOLDER was removed or replaced, all
  // items count as finished: other workers took this one for dead and ended the job.
  std::vector<int64_t> Take(int64_t most, bool also_of_living = false);
  // Runs `store` while no other worker can run its own, then counts `items` as finished. Does not
  // run it if FOLDER was removed or replaced.
  void Finish(const std::vector<int64_t>& items, const std::function<void()>& store);
  // Leaves the job. If this is the last living worker and all items are finished, runs `last`
  // first, removes FOLDER and returns true. Nobody can join meanwhile.
  bool Leave(const std::function<void()>& last);

  // The number of this worker; no two workers in FOLDER have the same.
  int64_t worker() const { return worker_; }
  // The state at the last call of Take() or Finish().
  int64_t items() const { return items_; }
  int64_t finished() const { return finished_; }
  // The number of workers that died while they held items.
  int64_t lost_workers() const { return lost_; }

 private:
  struct Claim {
    int64_t worker = 0;  // 0: free
    bool finished = false;
  };

  void Read();
  void Write(const char* what, const std::vector<int64_t>& items);
  void Append(const std::string& lines);  // to `claims`
  bool Lives(int64_t worker) const;
  // Waits for the lock of FOLDER.lock, which is held as long as the descriptor is open.
  Descriptor Lock() const;
  // Returns false if FOLDER was removed or replaced since this worker joined.
  bool IsThere() const;
  std::filesystem::path WorkerFile(int64_t worker) const;
  // Returns the living workers without this one.
  std::set<int64_t> Others() const;

  std::filesystem::path folder_;
  int64_t items_;
  int64_t worker_ = 0;      // the number of this worker
  int64_t joined_ = 0;      // the number of the newest worker that is known
  Descriptor worker_file_;  // the locked file worker-N; closed once this worker has left
  std::vector<Claim> claims_;
  std::size_t read_ = 0;  // the number of bytes of the file `claims` that claims_ contains
  int64_t finished_ = 0, lost_ = 0;
  std::map<int64_t, bool> dead_;  // dead workers; true: they held items
};

}  // namespace pivotal::data
