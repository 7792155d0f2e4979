// Apache-2.0.
#include "pts/served/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <utility>

#include "data/base/error.h"
#include "pivotal/version.h"

namespace pivotal::pts {
namespace {

constexpr std::size_t kLongestAnswer = std::size_t{256} << 20;
constexpr double kConnectSeconds = 10;

// Returns true once libcurl is ready for this process, as the first call makes it.
bool CurlStarted() {
  static const bool started = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return started;
}

struct Transfer {
  CURL* easy = nullptr;
  std::string body;
  HttpAnswer answer;
  char error[CURL_ERROR_SIZE] = "";
  bool too_long = false;

  ~Transfer() { curl_easy_cleanup(easy); }
};

std::size_t TakeBytes(char* bytes, std::size_t size, std::size_t count, void* to) {
  auto& transfer = *static_cast<Transfer*>(to);
  if (transfer.answer.body.size() + size * count > kLongestAnswer) {
    transfer.too_long = true;
    return 0;
  }
  transfer.answer.body.append(bytes, size * count);
  return size * count;
}

// Fills the answer of a transfer that ended with `code`.
void Finish(Transfer& transfer, CURLcode code) {
  HttpAnswer& answer = transfer.answer;
  curl_off_t connected = 0, retry_after = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_CONNECT_TIME_T, &connected);
  curl_easy_getinfo(transfer.easy, CURLINFO_RETRY_AFTER, &retry_after);
  answer.connected = connected > 0 || code == CURLE_OK;
  answer.retry_after = static_cast<double>(retry_after);
  if (code == CURLE_OK) {
    long status = 0;
    curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    answer.status = static_cast<int>(status);
  } else if (transfer.too_long) {
    answer.error = "the answer is longer than 256 MiB";
  } else {
    answer.error = transfer.error[0] != '\0' ? transfer.error : curl_easy_strerror(code);
  }
}

}  // namespace

struct HttpClient::Transfers {
  CURLM* multi = nullptr;
  curl_slist* headers = nullptr;
  std::map<CURL*, std::unique_ptr<Transfer>> open;

  ~Transfers() {
    Clear();
    curl_multi_cleanup(multi);
    curl_slist_free_all(headers);
  }
  void Clear() {
    for (const auto& [easy, transfer] : open) curl_multi_remove_handle(multi, easy);
    open.clear();
  }
};

HttpClient::HttpClient(std::string key, int32_t connections)
    : transfers_(std::make_unique<Transfers>()) {
  if (CurlStarted()) transfers_->multi = curl_multi_init();
  if (transfers_->multi == nullptr) Fail("libcurl does not start");
  curl_multi_setopt(transfers_->multi, CURLMOPT_MAXCONNECTS, static_cast<long>(connections));
  const auto add = [&](const std::string& line) {
    curl_slist* longer = curl_slist_append(transfers_->headers, line.c_str());
    if (longer == nullptr) Fail("no memory for the headers of requests");
    transfers_->headers = longer;
  };
  add("Content-Type: application/json");
  add("Expect:");  // else libcurl waits for a "100 Continue" before a long body
  if (!key.empty()) add("Authorization: Bearer " + key);
}

HttpClient::~HttpClient() = default;

void HttpClient::Start(const HttpRequest& request) {
  auto transfer = std::make_unique<Transfer>();
  CURL* easy = transfer->easy = curl_easy_init();
  if (easy == nullptr) Fail("{}: no memory for a request", request.url);
  transfer->answer.id = request.id;
  transfer->body = request.body;
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfers_->headers);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "pivotal/" PIVOTAL_VERSION_STRING);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout * 1000));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(std::min(kConnectSeconds, request.timeout) * 1000));
  // OpenSSL's own variable, which libcurl does not read where its build names a file.
  if (const char* authorities = std::getenv("SSL_CERT_FILE"))
    curl_easy_setopt(easy, CURLOPT_CAINFO, authorities);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, TakeBytes);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer.get());
  if (!request.body.empty()) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->body.c_str());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(transfer->body.size()));
  }
  if (curl_multi_add_handle(transfers_->multi, easy) != CURLM_OK)
    Fail("{}: libcurl refuses the request", request.url);
  transfers_->open.emplace(easy, std::move(transfer));
}

std::vector<HttpAnswer> HttpClient::Wait(double seconds) {
  std::vector<HttpAnswer> ended;
  for (int round = 0; round < 2; ++round) {
    int running = 0;
    curl_multi_perform(transfers_->multi, &running);
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(transfers_->multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL* easy = message->easy_handle;
      const CURLcode code = message->data.result;  // `message` ends with the handle
      const auto found = transfers_->open.find(easy);
      Finish(*found->second, code);
      ended.push_back(std::move(found->second->answer));
      curl_multi_remove_handle(transfers_->multi, easy);
      transfers_->open.erase(found);
    }
    if (round == 1 || !ended.empty()) break;
    curl_multi_poll(transfers_->multi, nullptr, 0, static_cast<int>(seconds * 1000), nullptr);
  }
  return ended;
}

std::size_t HttpClient::in_flight() const { return transfers_->open.size(); }

void HttpClient::Cancel() { transfers_->Clear(); }

}  // namespace pivotal::pts
