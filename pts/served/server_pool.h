// Apache-2.0. The servers of one model: shares requests among them and sends those that fail again.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "pivotal/progress.h"
#include "pivotal/served.h"
#include "pts/served/http_client.h"

namespace pivotal::pts {

// What is wrong with an answer: the server is asked again.
class BadAnswer : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A request to any of the servers.
struct ServerRequest {
  std::string path;    // behind the root of the address: "/v1/completions"
  std::string body;    // JSON to POST; "": GET
  uint64_t beginning;  // requests with the same one go to the same address where load allows it
};

// Reads an answer. Throws BadAnswer if it is not what was asked for.
using ReadAnswer = std::function<void(int64_t id, const nlohmann::json& answer)>;

struct ServerCounts {
  int64_t requests = 0;  // sent, those that failed included
  int64_t failures = 0;  // of them, those that were sent again
};

// A request that has no good answer is sent again, later each time (up to half a minute). An
// address that fails three times in a row is left out while there are others, then tried again with
// one request. Objects are not thread-safe.
class ServerPool {
 public:
  // `settings` must be valid. `key`: see HttpClient.
  ServerPool(const ServedSettings& settings, std::string key);

  // Queues a request. The id comes back with the answer.
  void Submit(int64_t id, ServerRequest request);
  // Sends what is queued and reads answers until nothing is left, including what `read` submits.
  // Throws Interrupted on a stop request; Error that names the address and what it said if a
  // server refuses a request (status 4xx), a request fails twelve times while servers answer
  // others, or none has answered for give_up seconds. Requests are then broken off.
  void Run(const ReadAnswer& read, const Progress& progress);
  // Sends one request to the address of that index and returns the answer. Throws the same, but
  // gives up ten seconds after the first failure: at the start, an address is wrong more often than
  // a server is slow.
  // `may_lack`: returns null where the server does not know the path (status 404, 405 or 501).
  nlohmann::json Ask(std::size_t address, const ServerRequest& request, const Progress& progress,
                     bool may_lack = false);

  std::size_t size() const { return addresses_.size(); }
  // Returns the address as the user gave it.
  const std::string& url(std::size_t address) const { return addresses_[address].url; }
  const ServerCounts& counts() const { return counts_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Address {
    std::string url, root;  // root: without "/v1" at its end
    int failures = 0;       // in a row
    int32_t in_flight = 0;
    Clock::time_point out_until = {};
  };
  struct Open {
    ServerRequest request;
    int attempts = 0;  // that count against the limit
    int failures = 0;  // all
    std::size_t address = 0;
    int only = -1;  // address that it must go to
    bool may_lack = false;
    Clock::time_point not_before = {};
  };

  void Run(const ReadAnswer& read, const Progress& progress, double give_up);
  void SendReady();
  // Returns the address for a request, or -1 if it has to wait.
  int Choose(const Open& open) const;
  void Take(const HttpAnswer& answer, const ReadAnswer& read);
  // Queues the request again, or throws Error if it has failed too often.
  void Retry(int64_t id, const std::string& why, const HttpAnswer& answer, bool counts);
  [[noreturn]] void Refuse(const Open& open, const HttpAnswer& answer) const;

  ServedSettings settings_;
  HttpClient client_;
  std::vector<Address> addresses_;
  std::map<int64_t, Open> open_;
  std::deque<int64_t> queue_;
  ServerCounts counts_;
  Clock::time_point last_good_;
  std::string last_failure_;
  uint64_t jitter_ = 0;
};

}  // namespace pivotal::pts
