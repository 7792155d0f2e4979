// Apache-2.0. A page about a run, served on this machine alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace pivotal::experiments {

// Returns the page of `pivotal watch --serve`: it draws what it reads from state.json beside it.
std::string WatchPage();

// Answers GET / with the page and GET /state.json with the state, on 127.0.0.1. Other methods are
// refused, and so are requests whose Host is neither localhost nor 127.0.0.1: a web site whose name
// was made to lead here (DNS rebinding) must not read the state.
class WatchServer {
 public:
  // Listens on `port`; 0 takes a free one. `state` returns the JSON of the state; it is called for
  // each request, by the thread of Run(). What it throws becomes an answer with status 500. Throws
  // Error if the port cannot be had.
  WatchServer(uint16_t port, std::function<std::string()> state);
  ~WatchServer();
  WatchServer(const WatchServer&) = delete;
  WatchServer& operator=(const WatchServer&) = delete;

  uint16_t port() const;
  // Serves until `stop` returns true, which it asks some times a second.
  void Run(const std::function<bool()>& stop);

 private:
  class Listener;
  std::unique_ptr<Listener> listener_;
};

// True if a Host header names this machine by localhost or 127.0.0.1, with any port: a tunnel may
// have another one.
bool IsOwnHost(std::string_view host);

}  // namespace pivotal::experiments
