// Apache-2.0. HTTP requests, many in flight at once (libcurl's multi interface).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace pivotal::pts {

struct HttpRequest {
  int64_t id = 0;  // comes back with the answer
  std::string url;
  std::string body;     // JSON to POST; "": GET
  double timeout = 60;  // seconds for all of it; connecting has ten of them at most
};

// What came of a request.
struct HttpAnswer {
  int64_t id = 0;
  int status = 0;  // HTTP status; 0: no whole answer came
  std::string body;
  std::string error;       // why there is no whole answer; "" if there is one
  bool connected = false;  // a connection was made
  double retry_after = 0;  // seconds that the server asks to wait; 0: it does not
};

// Follows no redirections, verifies TLS, reads the usual proxy variables of the environment. An
// answer longer than 256 MiB is an error. Objects are not thread-safe.
class HttpClient {
 public:
  // `key` goes out as "Authorization: Bearer KEY"; "": none. `connections`: kept open for reuse.
  HttpClient(std::string key, int32_t connections);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Throws Error if the request cannot be made, e.g. for lack of memory.
  void Start(const HttpRequest& request);
  // Waits until something ends, `seconds` at most, and returns what has ended.
  std::vector<HttpAnswer> Wait(double seconds);
  std::size_t in_flight() const;
  // Breaks off all requests; they have no answers.
  void Cancel();

 private:
  struct Transfers;
  std::unique_ptr<Transfers> transfers_;
};

}  // namespace pivotal::pts
