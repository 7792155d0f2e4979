// Apache-2.0. A policy of servers that fault_server.py imitates: their model is known, and they
// fail when told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>

#include "pivotal/served.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/error_text.h"
#include "tests/support/run_command.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_dir.h"

namespace pivotal {
namespace {

using testing::ByteTokenizer;
using ::testing::HasSubstr;
using ::testing::Not;
using Ids = std::vector<TokenId>;

constexpr int kVocabulary = 259;
const ByteTokenizer kTokenizer(/*adds_bos=*/false);

class Server : public testing::ServerProcess {
 public:
  explicit Server(const std::string& arguments)
      : ServerProcess("python3 " PIVOTAL_SOURCE_DIR "/tests/pts/served/fault_server.py " +
                      arguments) {}
  std::string url() const { return address() + "/v1"; }
  // What it was asked: a JSON object of counts.
  std::string Stats() const {
    return testing::RunCommand("python3 -c \"import urllib.request as u; print(u.urlopen('" +
                               address() + "/stats').read().decode())\"")
        .output;
  }
};

ServedSettings At(const Server& server) {
  ServedSettings settings;
  settings.urls = {server.url()};
  settings.give_up = 20;
  return settings;
}

std::unique_ptr<ServedPolicy> Connect(const ServedSettings& settings, SamplingParams sampling = {},
                                      ServedPolicy::Options options = {}) {
  options.sampling = sampling;
  return ServedPolicy::Connect(settings, kTokenizer, std::move(options));
}

std::vector<Rollout> SampleOne(Policy& policy, const RolloutRequest& request) {
  return policy.Sample({&request, 1}, Progress())[0];
}

// The truth: the log-probabilities of the model in fault_server.py after `sequence`, under
// `sampling`.
std::vector<double> Truth(const Ids& sequence, const SamplingParams& sampling = {}) {
  const std::size_t n = sequence.size();
  const double a = n > 1 ? sequence[n - 2] : 0, b = sequence[n - 1];
  std::vector<double> p(kVocabulary);
  for (int t = 0; t < kVocabulary; ++t)
    p[t] = std::exp(((t == 258 ? 1.7 : 0) + 3 * std::sin(0.37 * a + 0.91 * b + 1.3 * t)) /
                    sampling.temperature);
  const auto normalise = [&] {
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& value : p) value /= sum;
  };
  normalise();
  std::vector<int> order(kVocabulary);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int x, int y) { return p[x] > p[y]; });
  if (sampling.top_k > 0)
    for (int i = sampling.top_k; i < kVocabulary; ++i) p[order[i]] = 0;
  normalise();
  double mass = 0;
  const double least = sampling.min_p * p[order[0]];
  for (const int t : order) {
    const bool keep = mass < sampling.top_p && p[t] >= least;
    mass += p[t];
    if (!keep) p[t] = 0;
  }
  normalise();
  for (double& value : p) value = std::log(value);
  return p;
}

// Compares each log-probability of a rollout with the truth.
void ExpectExact(const Ids& prefix, const Rollout& rollout, const SamplingParams& sampling) {
  Ids sequence = prefix;
  ASSERT_EQ(rollout.tokens.size(), rollout.logprobs.size());
  for (std::size_t k = 0; k < rollout.tokens.size(); ++k) {
    const double truth = Truth(sequence, sampling)[rollout.tokens[k]];
    ASSERT_NEAR(rollout.logprobs[k], truth, 1e-4 + 1e-4 * std::abs(truth)) << "token " << k;
    sequence.push_back(rollout.tokens[k]);
  }
}

// Compares the first tokens of rollouts with the truth without the excluded tokens, by a chi-square
// statistic over tokens that are expected five times or more.
void ExpectFirstTokens(const Ids& prefix, const std::vector<Rollout>& rollouts,
                       const SamplingParams& sampling, const Ids& excluded) {
  auto truth = Truth(prefix, sampling);
  double left = 0;
  for (const TokenId token : excluded) truth[token] = -INFINITY;
  for (const double value : truth) left += std::exp(value);
  std::map<TokenId, int> seen;
  for (const Rollout& rollout : rollouts) ++seen[rollout.tokens[0]];
  double statistic = 0, rest = 0;
  int cells = 0, rest_seen = 0;
  for (int t = 0; t < kVocabulary; ++t) {
    const double expected = std::exp(truth[t]) / left * static_cast<double>(rollouts.size());
    EXPECT_TRUE(expected > 0 || seen[t] == 0) << "token " << t;
    if (expected < 5) {
      rest += expected;
      rest_seen += seen[t];
      continue;
    }
    statistic += (seen[t] - expected) * (seen[t] - expected) / expected;
    ++cells;
  }
  if (rest > 0) statistic += (rest_seen - rest) * (rest_seen - rest) / rest;
  // Five standard deviations above the mean of a chi-square distribution.
  EXPECT_LT(statistic, cells + 5 * std::sqrt(2.0 * cells)) << cells << " cells";
}

struct Case {
  std::string name, arguments;
  SamplingParams sampling;
};

std::vector<Case> AllCases() {
  const SamplingParams warm = {.temperature = 0.7}, few = {.temperature = 0.9, .top_k = 6},
                       many = {.top_p = 0.8}, floor = {.temperature = 1.2, .min_p = 0.1};
  return {{"VllmRaw", "vllm", {}},
          {"VllmPolicy", "vllm --logprobs policy", {}},
          {"VllmWarm", "vllm --logprobs policy", warm},
          {"VllmFew", "vllm --logprobs policy", few},
          {"VllmMany", "vllm --logprobs policy", many},
          {"VllmFloor", "vllm --logprobs policy", floor},
          {"VllmNoBias", "vllm --ignore-bias", {}},
          {"SglangWarm", "sglang --logprobs tempered", warm},
          {"SglangPlain", "sglang --logprobs tempered", {}},
          {"LlamaPlain", "llama.cpp", {}},
          {"LlamaWarm", "llama.cpp", warm},
          {"LlamaFew", "llama.cpp", few},
          {"LlamaMany", "llama.cpp", many},
          {"OpenAi", "openai", {}}};
}

void ExpectExactSamples(ServedPolicy& policy, const SamplingParams& sampling) {
  const Ids prefix = {'a', 'b'};
  const auto rollouts =
      SampleOne(policy, {.prefix = prefix, .count = 400, .max_new_tokens = 6, .stream = 9});
  ASSERT_EQ(rollouts.size(), 400u);
  for (const Rollout& rollout : rollouts) {
    ExpectExact(prefix, rollout, sampling);
    const bool ended = rollout.tokens.back() == ByteTokenizer::kEos;
    EXPECT_EQ(rollout.finish, ended ? FinishReason::kEos : FinishReason::kLength);
    EXPECT_EQ(std::ranges::count(rollout.tokens, ByteTokenizer::kEos), ended ? 1 : 0);
    EXPECT_TRUE(ended || rollout.tokens.size() == 6u);
  }
  ExpectFirstTokens(prefix, rollouts, sampling, {});
  EXPECT_EQ(policy.counters().rollouts, 400);
}

void ExpectExactExclusion(ServedPolicy& policy, const SamplingParams& sampling) {
  const Ids prefix = {'c', 'd'};
  // The two most probable tokens and one that is seldom drawn.
  auto truth = Truth(prefix, sampling);
  std::vector<int> order(kVocabulary);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](int a, int b) { return truth[a] > truth[b]; });
  const Ids excluded = {order[0], order[1], order[40]};
  const auto rollouts = SampleOne(
      policy,
      {.prefix = prefix, .count = 400, .max_new_tokens = 3, .stream = 4, .excluded = excluded});
  for (const Rollout& rollout : rollouts) {
    EXPECT_EQ(std::ranges::find(excluded, rollout.tokens[0]), excluded.end());
    ExpectExact(prefix, rollout, sampling);
  }
  ExpectFirstTokens(prefix, rollouts, sampling, excluded);
}

void ExpectSeedsKeyRollouts(ServedPolicy& policy) {
  EXPECT_TRUE(policy.facts().seeds);
  RolloutRequest whole{.prefix = {'x'}, .count = 40, .max_new_tokens = 4, .stream = 3};
  whole.excluded = {'y'};
  RolloutRequest part = whole;
  part.first_rollout = 25;
  part.count = 10;
  const auto all = SampleOne(policy, whole), some = SampleOne(policy, part);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(all[25 + i].tokens, some[i].tokens) << i;
}

class ServedKinds : public ::testing::TestWithParam<Case> {};

TEST_P(ServedKinds, SampleExactly) {
  const Server server(GetParam().arguments);
  const auto policy = Connect(At(server), GetParam().sampling);
  ExpectExactSamples(*policy, GetParam().sampling);
  ExpectExactExclusion(*policy, GetParam().sampling);
  ExpectSeedsKeyRollouts(*policy);
}

INSTANTIATE_TEST_SUITE_P(Servers, ServedKinds, ::testing::ValuesIn(AllCases()),
                         [](const auto& info) { return info.param.name; });

TEST(ServedPolicy, FindsOutWhatServersAre) {
  const Server vllm("vllm --logprobs policy"), sglang("sglang --logprobs tempered"),
      llama("llama.cpp"), other("openai --ignore-seeds --ignore-bias");
  const ServedFacts a = Connect(At(vllm))->facts(), b = Connect(At(sglang))->facts(),
                    c = Connect(At(llama))->facts(), d = Connect(At(other))->facts();
  EXPECT_EQ(a.server, "vllm");
  EXPECT_EQ(a.version, "0.32.0");
  EXPECT_EQ(a.model, "known");
  EXPECT_EQ(a.max_positions, 512);
  EXPECT_EQ(a.logprobs, ServedLogprobs::kPolicy);
  EXPECT_TRUE(a.logprobs_after_bias && a.bias_bans && a.seeds);
  EXPECT_EQ(b.server, "sglang");
  EXPECT_EQ(b.logprobs, ServedLogprobs::kTempered);
  EXPECT_TRUE(b.logprobs_after_bias && b.bias_bans);
  EXPECT_EQ(c.server, "llama.cpp");
  EXPECT_EQ(c.version, "b7");
  EXPECT_EQ(c.max_positions, 512);
  EXPECT_TRUE(!c.logprobs_after_bias && c.bias_bans);
  EXPECT_EQ(d.server, "openai");
  EXPECT_EQ(d.logprobs, ServedLogprobs::kRaw);
  EXPECT_FALSE(d.bias_bans);
  EXPECT_FALSE(d.seeds);
}

TEST(ServedPolicy, RefusesWhatItCannotServeExactly) {
  const Server raw("vllm"), texts("openai --no-ids");
  EXPECT_THAT(testing::ErrorText([&] { Connect(At(raw), {.temperature = 0.7}); }),
              HasSubstr("--logprobs-mode processed_logprobs"));
  EXPECT_THAT(testing::ErrorText([&] { Connect(At(raw), {.top_p = 0.9}); }),
              HasSubstr("log-probabilities of the model"));
  EXPECT_THAT(testing::ErrorText([&] { Connect(At(texts)); }), HasSubstr("without token ids"));
  const Server tempered("sglang --logprobs tempered");
  EXPECT_THAT(testing::ErrorText([&] { Connect(At(tempered), {.top_k = 5}); }),
              Not(HasSubstr("vLLM")));
  // At temperature 0 tokens are certain.
  EXPECT_EQ(Connect(At(raw), {.temperature = 0})->facts().server, "vllm");
  const auto policy = Connect(At(raw));
  RolloutRequest request{.prefix = {'a'}, .max_new_tokens = 2};
  request.sampling = SamplingParams{.temperature = 0.5};
  EXPECT_THAT(testing::ErrorText([&] { SampleOne(*policy, request); }),
              HasSubstr("log-probabilities of the model"));
  request.sampling = {};
  request.max_new_tokens = 512;
  EXPECT_THAT(testing::ErrorText([&] { SampleOne(*policy, request); }), HasSubstr("512"));
}

TEST(ServedPolicy, SaysWhatIsWrongWithAddressesAndNames) {
  const auto error = [](const ServedSettings& settings) {
    return testing::ErrorText([&] { Connect(settings); });
  };
  const Server server("vllm --key secret-17");
  ServedSettings settings = At(server);
  ::unsetenv("PIVOTAL_API_KEY");
  EXPECT_THAT(error(settings), HasSubstr("PIVOTAL_API_KEY"));
  ::setenv("PIVOTAL_API_KEY", "wrong-18", 1);
  EXPECT_THAT(error(settings), Not(HasSubstr("wrong-18")));
  ::setenv("PIVOTAL_API_KEY", "two\nlines", 1);
  EXPECT_THAT(error(settings), HasSubstr("character"));
  ::setenv("PIVOTAL_API_KEY", "secret-17\n", 1);
  EXPECT_EQ(error(settings), "(no Error)");
  settings.model = "unknown";
  EXPECT_THAT(error(settings), HasSubstr("serves no model unknown, but known"));
  ::unsetenv("PIVOTAL_API_KEY");
  settings = {};
  EXPECT_THAT(error(settings), HasSubstr("needs an address"));
  for (const char* bad : {"localhost:8000", "http://", "ftp://x/v1", "http://a b/v1", "http:///v1",
                          "http://a:99999/v1", "http://a:/v1", "http://a/v1/completions"}) {
    settings.urls = {bad};
    EXPECT_THAT(error(settings), HasSubstr("is no address")) << bad;
  }
  settings.urls = {"http://user:word@127.0.0.1:8000/v1"};
  EXPECT_THAT(error(settings),
              ::testing::AllOf(HasSubstr("PIVOTAL_API_KEY"), Not(HasSubstr("word@"))));
  settings.urls = {"http://127.0.0.1:9/v1"};  // the discard port: nobody listens
  settings.give_up = 0.3;
  EXPECT_THAT(error(settings), HasSubstr("http://127.0.0.1:9/v1: "));
  settings = At(Server("vllm"));
  settings.server = "other";
  EXPECT_THAT(error(settings), HasSubstr("take one of vllm, sglang, llama.cpp, openai"));
}

// The kind of answer of each server may fail in every way; nothing is lost and nothing comes twice.
class ServedFaults : public ::testing::TestWithParam<const char*> {};

TEST_P(ServedFaults, LoseAndDoubleNothing) {
  const std::string kind = GetParam();
  const Server good(kind);
  const Server bad(kind +
                   " --faults drop,cut,garbage,500,429,repeat,lie_length,lie_logprob,lie_token,"
                   "lie_prompt,delay --rate 0.3 --delay 0.05");
  std::vector<RolloutRequest> requests;
  for (int r = 0; r < 12; ++r) {
    RolloutRequest request{.prefix = {'a' + r, 'b'}, .count = 12, .max_new_tokens = 5};
    request.stream = static_cast<uint64_t>(r);
    if (r % 3 == 0) request.excluded = {'c', 'd'};
    requests.push_back(request);
  }
  const auto truth = Connect(At(good))->Sample(requests, Progress());
  ServedSettings settings = At(bad);
  settings.concurrency = 16;
  const auto policy = Connect(settings);
  std::map<std::pair<std::size_t, int32_t>, int> reported;
  const auto found =
      policy->Sample(requests, Progress(), [&](std::size_t r, int32_t i, const Rollout& rollout) {
        ++reported[{r, i}];
        EXPECT_EQ(rollout.tokens, truth[r][i].tokens);
      });
  EXPECT_GT(policy->counters().failed_requests, 10) << bad.Stats();
  EXPECT_EQ(reported.size(), 144u);
  for (std::size_t r = 0; r < requests.size(); ++r) {
    for (int i = 0; i < 12; ++i) {
      EXPECT_EQ((reported[{r, i}]), 1);
      EXPECT_EQ(found[r][i].tokens, truth[r][i].tokens);
      EXPECT_EQ(found[r][i].logprobs, truth[r][i].logprobs);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Servers, ServedFaults,
                         ::testing::Values("vllm", "sglang", "llama.cpp", "openai"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '.');
                           return name;
                         });

TEST(ServedPolicy, GivesUpOnAServerThatAlwaysLies) {
  const Server server("vllm --faults lie_token --rate 1");
  const auto policy = Connect(At(server));
  EXPECT_THAT(testing::ErrorText(
                  [&] { SampleOne(*policy, {.prefix = {'a'}, .count = 2, .max_new_tokens = 2}); }),
              ::testing::AllOf(HasSubstr(server.url()), HasSubstr("1000000")));
}

TEST(ServedPolicy, OthersDoTheWorkOfAServerThatDies) {
  const Server lasting("llama.cpp"), dying("llama.cpp --die-after 60");
  ServedSettings settings = At(lasting);
  settings.urls.push_back(dying.url());
  settings.concurrency = 8;
  const auto policy = Connect(settings);
  std::vector<RolloutRequest> requests;
  for (int r = 0; r < 20; ++r)
    requests.push_back({.prefix = {'a' + r}, .count = 10, .max_new_tokens = 3});
  const auto rollouts = policy->Sample(requests, Progress());
  for (std::size_t r = 0; r < requests.size(); ++r)
    for (const Rollout& rollout : rollouts[r]) ExpectExact(requests[r].prefix, rollout, {});
  EXPECT_GE(policy->counters().failed_requests, 1);
}

TEST(ServedPolicy, RefusesServersThatDiffer) {
  const Server one("vllm"), other("vllm --logprobs policy");
  ServedSettings settings = At(one);
  settings.urls.push_back(other.url());
  EXPECT_THAT(testing::ErrorText([&] { Connect(settings); }), HasSubstr("must be alike"));
}

TEST(ServedPolicy, EndsWhereTheRuleSays) {
  for (const char* kind : {"vllm", "llama.cpp", "sglang"}) {
    SCOPED_TRACE(kind);
    const Server server(kind);
    const std::vector<std::string> stops = {"S", "qr"};
    const auto policy = Connect(At(server), {}, {.stop = stops});
    RolloutRequest request{.prefix = {'k', 'q'}, .count = 200, .max_new_tokens = 30};
    request.stop = MakeStopRule(kTokenizer, stops);
    request.response_tokens = 1;
    int stopped = 0;
    for (const Rollout& rollout : SampleOne(*policy, request)) {
      ExpectExact(request.prefix, rollout, {});
      std::string text = "q" + kTokenizer.Decode(rollout.tokens, false);
      const bool ends = text.find('S') != std::string::npos || text.find("qr") != std::string::npos;
      EXPECT_EQ(rollout.finish == FinishReason::kStop, ends) << text;
      text.pop_back();  // no earlier token ended it
      EXPECT_EQ(text.find('S'), std::string::npos);
      stopped += ends;
    }
    EXPECT_GT(stopped, 10);
  }
}

// A rule that the server does not know of: it ends rollouts after its own answers come, and a stop
// text of the server that the rule does not know ends none.
TEST(ServedPolicy, GoesOnWhereTheServerStopsAndTheRuleDoesNot) {
  const Server server("vllm");
  const auto policy = Connect(At(server), {}, {.stop = {"S", "T", "U"}});
  for (const Rollout& rollout :
       SampleOne(*policy, {.prefix = {'k'}, .count = 100, .max_new_tokens = 20})) {
    ExpectExact({'k'}, rollout, {});
    EXPECT_TRUE(rollout.finish == FinishReason::kEos || rollout.tokens.size() == 20u);
  }
}

TEST(ServedPolicy, TokensComeInPortions) {
  const Server server("vllm");
  Ids told;
  int times = 0;
  ServedPolicy::Options options;
  options.portion = 4;
  options.on_tokens = [&](std::size_t, int32_t, std::span<const TokenId> tokens) {
    told.insert(told.end(), tokens.begin(), tokens.end());
    ++times;
    EXPECT_LE(tokens.size(), 4u);
  };
  const auto policy = Connect(At(server), {.temperature = 0}, options);
  const auto rollout = SampleOne(*policy, {.prefix = {'m'}, .max_new_tokens = 10})[0];
  EXPECT_EQ(told, rollout.tokens);
  EXPECT_EQ(times, static_cast<int>(rollout.tokens.size() + 3) / 4);
  Ids sequence = {'m'};
  for (std::size_t k = 0; k < rollout.tokens.size(); ++k) {
    const auto truth = Truth(sequence);
    EXPECT_EQ(std::ranges::max_element(truth) - truth.begin(), rollout.tokens[k]);
    EXPECT_EQ(rollout.logprobs[k], 0);
    sequence.push_back(rollout.tokens[k]);
  }
}

TEST(ServedPolicy, ScoresUnderTheModel) {
  for (const char* kind : {"vllm --logprobs policy", "llama.cpp", "sglang --logprobs tempered"}) {
    SCOPED_TRACE(kind);
    const Server server(kind);
    const auto policy = Connect(At(server));
    const Ids prefix = {'p', 'q', 'r'}, continuation = {'s', 't', 258, 3, 250, 9};
    const auto scores = policy->Score(prefix, continuation);
    Ids sequence = prefix;
    ASSERT_EQ(scores.size(), continuation.size());
    for (std::size_t k = 0; k < continuation.size(); ++k) {
      auto truth = Truth(sequence);
      EXPECT_NEAR(scores[k].logprob, truth[continuation[k]], 1e-3);
      truth[continuation[k]] = -INFINITY;
      const auto best = std::ranges::max_element(truth);
      EXPECT_EQ(scores[k].runner_up, best - truth.begin());
      EXPECT_NEAR(scores[k].runner_up_logprob, *best, 1e-3);
      sequence.push_back(continuation[k]);
    }
  }
}

TEST(ServedPolicy, VerifiesCertificates) {
  const testing::TempDir temp;
  const std::string pem = (temp.path() / "server.pem").string();
  const auto made = testing::RunCommand(
      "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext "
      "subjectAltName=IP:127.0.0.1 -keyout " +
      pem + ".key -out " + pem + ".crt && cat " + pem + ".key " + pem + ".crt > " + pem);
  if (made.code != 0) GTEST_SKIP() << "openssl makes no certificate: " << made.output;
  const Server server("vllm --tls " + pem);
  ServedSettings settings = At(server);
  settings.give_up = 0.5;
  ::unsetenv("SSL_CERT_FILE");
  EXPECT_THAT(testing::ErrorText([&] { Connect(settings); }), HasSubstr("certificate"));
  ::setenv("SSL_CERT_FILE", (pem + ".crt").c_str(), 1);
  EXPECT_EQ(Connect(settings)->facts().server, "vllm");
  ::unsetenv("SSL_CERT_FILE");
}

TEST(ServedPolicy, StopsWhenAsked) {
  class Impatient : public Progress {
   public:
    bool StopRequested() const override { return ++asked_ > 3; }

   private:
    mutable int asked_ = 0;
  };
  const Server server("vllm --delay 30");
  ServedSettings settings = At(server);
  settings.server = "vllm";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THROW(ServedPolicy::Connect(settings, kTokenizer, {}, Impatient()), Interrupted);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

}  // namespace
}  // namespace pivotal
