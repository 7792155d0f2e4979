// Apache-2.0.
#include "pts/served/server_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "data/base/error.h"
#include "data/base/json_input.h"
#include "kernels/philox.h"

namespace pivotal::pts {
namespace {

using nlohmann::json;

constexpr int kMostAttempts = 12;
constexpr int kFailuresOut = 3;     // in a row, before an address is left out
constexpr double kOutSeconds = 10;  // that it is left out at first; twice as long each time
constexpr double kFirstWait = 0.1;  // seconds between two attempts; twice as long each time
constexpr double kLongestWait = 30, kLongestWaitForRight = 0.5;
constexpr double kLongestAsked = 120;  // of the wait that a server asks for
constexpr double kAskSeconds = 10;     // without an answer, before a single request fails
constexpr double kPollSeconds = 0.1;   // between two looks at a stop request

// Returns what a server says about a refused request, as one short line.
std::string MessageOf(const std::string& body) {
  const json parsed = json::parse(body, nullptr, /*allow_exceptions=*/false);
  const json* message = &parsed;
  for (const char* key : {"error", "message"})
    if (message->is_object() && message->contains(key)) message = &(*message)[key];
  std::string text = message->is_string() ? message->get<std::string>() : body;
  std::replace(text.begin(), text.end(), '\n', ' ');
  constexpr std::size_t kLongest = 300;
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text.empty() ? "(no message)" : text;
}

std::chrono::steady_clock::duration Seconds(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
}

}  // namespace

ServerPool::ServerPool(const ServedSettings& settings, std::string key)
    : settings_(settings), client_(std::move(key), settings.concurrency) {
  for (const std::string& url : settings_.urls) {
    Address address;
    address.url = address.root = url;
    while (address.root.ends_with('/')) address.root.pop_back();
    if (address.root.ends_with("/v1")) address.root.resize(address.root.size() - 3);
    addresses_.push_back(std::move(address));
  }
  last_good_ = Clock::now();
}

void ServerPool::Submit(int64_t id, ServerRequest request) {
  open_[id].request = std::move(request);
  queue_.push_back(id);
}

void ServerPool::Run(const ReadAnswer& read, const Progress& progress) {
  Run(read, progress, settings_.give_up);
}

void ServerPool::Run(const ReadAnswer& read, const Progress& progress, double give_up) {
  last_good_ = Clock::now();
  last_failure_.clear();
  try {
    while (!open_.empty()) {
      if (progress.StopRequested()) throw Interrupted("stopped while servers were asked");
      SendReady();
      const double silent = std::chrono::duration<double>(Clock::now() - last_good_).count();
      if (!last_failure_.empty() && silent > give_up)
        Fail("no server has answered for {:.0f} seconds; the last failure: {}", silent,
             last_failure_);
      for (const HttpAnswer& answer : client_.Wait(kPollSeconds)) Take(answer, read);
    }
  } catch (...) {
    client_.Cancel();
    open_.clear();
    queue_.clear();
    for (Address& address : addresses_) address.in_flight = 0;
    throw;
  }
}

json ServerPool::Ask(std::size_t address, const ServerRequest& request, const Progress& progress,
                     bool may_lack) {
  constexpr int64_t kId = -1;
  Submit(kId, request);
  open_[kId].only = static_cast<int>(address);
  open_[kId].may_lack = may_lack;
  json result;
  Run([&](int64_t, const json& answer) { result = answer; }, progress,
      std::min(settings_.give_up, kAskSeconds));
  return result;
}

void ServerPool::SendReady() {
  const auto now = Clock::now();
  for (std::size_t waiting = queue_.size();
       waiting > 0 && client_.in_flight() < static_cast<std::size_t>(settings_.concurrency);
       --waiting) {
    const int64_t id = queue_.front();
    queue_.pop_front();
    Open& open = open_.at(id);
    const int address = open.not_before <= now ? Choose(open) : -1;
    if (address < 0) {
      queue_.push_back(id);
      continue;
    }
    open.address = static_cast<std::size_t>(address);
    Address& to = addresses_[open.address];
    client_.Start({id, to.root + open.request.path, open.request.body, settings_.timeout});
    ++to.in_flight;
    ++counts_.requests;
  }
}

int ServerPool::Choose(const Open& open) const {
  if (open.only >= 0) return open.only;
  const auto now = Clock::now();
  const auto is_out = [](const Address& a) { return a.failures >= kFailuresOut; };
  // Where none is left, all are asked, each request as seldom as it has failed often.
  const bool all_out = std::ranges::all_of(addresses_, is_out);
  const auto lives = [&](const Address& a) { return all_out || !is_out(a); };
  const auto live = std::ranges::count_if(addresses_, lives);
  const auto share = (settings_.concurrency + live - 1) / live;
  // An address that was left out is tried with one request.
  for (std::size_t a = 0; a < addresses_.size(); ++a)
    if (!lives(addresses_[a]) && addresses_[a].in_flight == 0 && addresses_[a].out_until <= now)
      return static_cast<int>(a);
  int best = -1;
  uint64_t best_rank = 0;
  // Requests with one beginning prefer one address, so that its cache of prefixes serves them.
  for (std::size_t a = 0; a < addresses_.size(); ++a) {
    if (!lives(addresses_[a]) || addresses_[a].in_flight >= share) continue;
    const uint64_t rank = kernels::MixStream(open.request.beginning, a);
    if (best >= 0 && rank <= best_rank) continue;
    best = static_cast<int>(a);
    best_rank = rank;
  }
  return best;
}

void ServerPool::Take(const HttpAnswer& answer, const ReadAnswer& read) {
  const auto found = open_.find(answer.id);
  Open& open = found->second;
  Address& address = addresses_[open.address];
  --address.in_flight;
  const auto fails = [&](const std::string& why, bool counts) {
    if (++address.failures >= kFailuresOut) {
      const double out = kOutSeconds * std::exp2(std::min(address.failures - kFailuresOut, 4));
      address.out_until = Clock::now() + Seconds(out);
    }
    Retry(answer.id, why, answer, counts);
  };
  // A server that is down or starts fails no request of ours; one that breaks off may.
  if (answer.status == 0) return fails(answer.error, /*counts=*/answer.connected);
  if (answer.status == 429 || answer.status == 408 || answer.status == 425)
    return Retry(answer.id, fmt::format("status {}", answer.status), answer, /*counts=*/false);
  if (open.may_lack && (answer.status == 404 || answer.status == 405 || answer.status == 501)) {
    open_.erase(found);
    return read(answer.id, json());
  }
  if (answer.status >= 500)
    return fails(fmt::format("status {}: {}", answer.status, MessageOf(answer.body)),
                 /*counts=*/answer.status != 503);
  if (answer.status != 200) Refuse(open, answer);
  json parsed;
  try {
    parsed = data::ParseJsonObject(answer.body, "the answer");
  } catch (const Error& error) {
    return fails(fmt::format("{}; is a model server at this address?", error.what()),
                 /*counts=*/true);
  }
  // `read` may submit requests, so that the request must be gone before, and be put back if the
  // answer is bad.
  auto node = open_.extract(found);
  try {
    read(answer.id, parsed);
  } catch (const BadAnswer& bad) {
    open_.insert(std::move(node));
    return fails(bad.what(), /*counts=*/true);
  }
  address.failures = 0;
  last_good_ = Clock::now();
  last_failure_.clear();
}

void ServerPool::Retry(int64_t id, const std::string& why, const HttpAnswer& answer, bool counts) {
  Open& open = open_.at(id);
  const std::string& url = addresses_[open.address].url;
  last_failure_ = url + ": " + why;
  ++counts_.failures;
  if (counts && ++open.attempts >= kMostAttempts)
    Fail("{}: a request has failed {} times, at last by this: {}", url, open.attempts, why);
  // A server that answers wrongly is not overloaded: it is asked again soon.
  const double longest = answer.status == 200 ? kLongestWaitForRight : kLongestWait;
  const double wait = std::min(longest, kFirstWait * std::exp2(std::min(open.failures++, 10)));
  const double spread = 0.5 + kernels::Uniform(0, kernels::MixStream(0, "retry"), 0,
                                               static_cast<uint32_t>(jitter_++));
  const double asked = std::min(answer.retry_after, kLongestAsked);
  open.not_before = Clock::now() + Seconds(std::max(asked, wait * spread));
  queue_.push_back(id);
}

void ServerPool::Refuse(const Open& open, const HttpAnswer& answer) const {
  const Address& address = addresses_[open.address];
  const std::string what = address.root + open.request.path;
  if (answer.status == 401 || answer.status == 403)
    Fail("{}: status {}: {}; put the key into the environment variable PIVOTAL_API_KEY", what,
         answer.status, MessageOf(answer.body));
  if (answer.status >= 300 && answer.status < 400)
    Fail("{}: status {}: leads elsewhere; give the address where it leads", what, answer.status);
  Fail("{}: status {}: {}", what, answer.status, MessageOf(answer.body));
}

}  // namespace pivotal::pts
