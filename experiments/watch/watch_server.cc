// Apache-2.0.
#include "experiments/watch/watch_server.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include "data/base/error.h"
#include "data/base/text.h"
#include "experiments/watch_files.h"

namespace pivotal::experiments {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

constexpr auto kPatience = std::chrono::seconds(10);  // with a client that sends or takes nothing
constexpr uint32_t kLongestHeader = 16 << 10;
constexpr int kMostClients = 64;

using Request = http::request<http::empty_body>;
using Response = http::response<http::string_body>;
using Answer = std::function<Response(const Request&)>;

// One connection. It lives as long as an operation on it is open.
class Client : public std::enable_shared_from_this<Client> {
 public:
  Client(tcp::socket socket, const Answer& answer, int& clients)
      : stream_(std::move(socket)), answer_(answer), clients_(clients) {
    ++clients_;
  }
  ~Client() { --clients_; }

  void Read() {
    parser_.emplace();
    parser_->header_limit(kLongestHeader);
    stream_.expires_after(kPatience);
    http::async_read_header(stream_, buffer_, *parser_,
                            [self = shared_from_this()](beast::error_code error, std::size_t) {
                              if (!error) self->Write();
                            });
  }

 private:
  void Write() {
    response_ = answer_(parser_->get());
    // A body is not read: what follows in this connection would be taken for a request.
    response_.keep_alive(parser_->get().keep_alive() && parser_->is_done());
    response_.prepare_payload();
    stream_.expires_after(kPatience);
    http::async_write(stream_, response_,
                      [self = shared_from_this()](beast::error_code error, std::size_t) {
                        if (!error && self->response_.keep_alive()) self->Read();
                      });
  }

  beast::tcp_stream stream_;
  const Answer& answer_;
  int& clients_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  Response response_;
};

Response AnswerWith(http::status status, const char* type, std::string body) {
  Response response{status, 11};
  response.set(http::field::content_type, type);
  response.set(http::field::cache_control, "no-store");
  response.set("X-Content-Type-Options", "nosniff");
  response.set("Referrer-Policy", "no-referrer");
  response.set("Cross-Origin-Resource-Policy", "same-origin");
  response.set("Content-Security-Policy",
               "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
               "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
  response.body() = std::move(body);
  return response;
}

Response AnswerTo(const Request& request, const std::function<std::string()>& state) {
  constexpr const char* kText = "text/plain; charset=utf-8";
  const auto host = request[http::field::host];
  if (request.count(http::field::host) != 1 || !IsOwnHost({host.data(), host.size()}))
    return AnswerWith(http::status::misdirected_request, kText,
                      "open this page as http://127.0.0.1 or http://localhost\n");
  if (request.method() != http::verb::get) {
    Response response =
        AnswerWith(http::status::method_not_allowed, kText, "only GET is answered here\n");
    response.set(http::field::allow, "GET");
    return response;
  }
  const auto target = request.target().substr(0, request.target().find('?'));
  if (target == "/") return AnswerWith(http::status::ok, "text/html; charset=utf-8", WatchPage());
  if (target != "/state.json")
    return AnswerWith(http::status::not_found, kText, "here are / and /state.json\n");
  try {
    return AnswerWith(http::status::ok, "application/json", state());
  } catch (const std::exception& error) {
    return AnswerWith(http::status::internal_server_error, kText, std::string(error.what()) + "\n");
  }
}

}  // namespace

class WatchServer::Listener {
 public:
  Listener(uint16_t port, std::function<std::string()> state)
      : answer_([state = std::move(state)](const Request& request) {
          return AnswerTo(request, state);
        }) {
    const tcp::endpoint place(asio::ip::address_v4::loopback(), port);
    beast::error_code error;
    acceptor_.open(place.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(place, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error == asio::error::address_in_use)
      Fail(
          "--serve {0}: another program listens on port {0} of 127.0.0.1; take another port, or 0 "
          "for any that is free",
          port);
    if (error == asio::error::access_denied)
      Fail("--serve {}: this port is not for users; take one above 1023, or 0 for any that is free",
           port);
    if (error) Fail("--serve {}: {}", port, error.message());
    port_ = acceptor_.local_endpoint().port();
    Accept();
  }

  uint16_t port() const { return port_; }
  void Run(const std::function<bool()>& stop) {
    while (!stop()) context_.run_for(std::chrono::milliseconds(200));
  }

 private:
  void Accept() {
    acceptor_.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (!error && clients_ < kMostClients)
        std::make_shared<Client>(std::move(socket), answer_, clients_)->Read();
      Accept();
    });
  }

  // The context is destroyed first, and with it the clients, which refer to what is above it.
  Answer answer_;
  int clients_ = 0;
  uint16_t port_ = 0;
  asio::io_context context_{1};
  tcp::acceptor acceptor_{context_};
};

WatchServer::WatchServer(uint16_t port, std::function<std::string()> state)
    : listener_(std::make_unique<Listener>(port, std::move(state))) {}
WatchServer::~WatchServer() = default;
uint16_t WatchServer::port() const { return listener_->port(); }
void WatchServer::Run(const std::function<bool()>& stop) { listener_->Run(stop); }

bool IsOwnHost(std::string_view host) {
  const std::size_t colon = host.find(':');
  const std::string_view name = host.substr(0, colon);
  if (colon != std::string_view::npos) {
    const std::string_view port = host.substr(colon + 1);
    if (port.size() > 5 || port.find_first_not_of("0123456789") != std::string_view::npos)
      return false;
  }
  std::string lower;
  for (const char c : name) lower += data::Lower(c);
  return lower == "localhost" || lower == "127.0.0.1";
}

std::string WatchPage() {
  std::string page;
  const std::string_view html = kWatchHtml;
  std::size_t at = 0;
  for (const auto& [mark, content] : {std::pair{std::string_view("/*@CSS@*/"), kWatchCss},
                                      std::pair{std::string_view("/*@JS@*/"), kWatchJs}}) {
    const std::size_t end = html.find(mark, at);
    if (end == std::string_view::npos) Fail("watch.html has no {}", mark);
    page += html.substr(at, end - at);
    page += content;
    at = end + mark.size();
  }
  return page + std::string(html.substr(at));
}

}  // namespace pivotal::experiments
