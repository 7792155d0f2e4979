// Apache-2.0.
#include "tests/support/tiny_truth.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"

namespace pivotal::testing {
namespace {

using json = nlohmann::ordered_json;

// Rounds to six digits, which is more than the rollouts can tell.
std::vector<double> Rounded(const std::vector<double>& values) {
  std::vector<double> rounded;
  for (double value : values) rounded.push_back(std::round(value * 1e6) / 1e6);
  return rounded;
}

json ToJson(const TrueResponse& response) {
  std::vector<int32_t> samples, successes;
  for (const pts::Estimate& q : response.aside) {
    samples.push_back(q.samples);
    successes.push_back(q.successes);
  }
  return {{"id", response.id},
          {"success", response.success},
          {"free_samples", response.free.samples},
          {"free_successes", response.free.successes},
          {"tokens", response.tokens},
          {"logprobs", Rounded({response.logprobs.begin(), response.logprobs.end()})},
          {"aside_samples", samples},
          {"aside_successes", successes},
          {"p", Rounded(response.p)},
          {"p_error", Rounded(response.p_error)},
          {"delta", Rounded(response.delta)},
          {"delta_error", Rounded(response.delta_error)}};
}

TrueResponse FromJson(const nlohmann::json& line) {
  TrueResponse response;
  line.at("id").get_to(response.id);
  line.at("success").get_to(response.success);
  line.at("free_samples").get_to(response.free.samples);
  line.at("free_successes").get_to(response.free.successes);
  line.at("tokens").get_to(response.tokens);
  line.at("logprobs").get_to(response.logprobs);
  for (std::size_t k = 0; k < response.tokens.size(); ++k)
    response.aside.push_back({line.at("aside_samples").at(k), line.at("aside_successes").at(k)});
  line.at("p").get_to(response.p);
  line.at("p_error").get_to(response.p_error);
  line.at("delta").get_to(response.delta);
  line.at("delta_error").get_to(response.delta_error);
  return response;
}

}  // namespace

void DerivePath(TrueResponse& response) {
  const std::size_t n = response.tokens.size();
  response.p.assign(n + 1, response.success ? 1 : 0);
  response.p_error.assign(n + 1, 0);
  response.delta.assign(n, 0);
  response.delta_error.assign(n, 0);
  for (std::size_t k = n; k-- > 0;) {
    const double stay = std::min(1.0, std::exp(double{response.logprobs[k]})), leave = 1 - stay;
    const pts::Estimate aside = response.aside[k];
    const double q = aside.samples > 0 ? aside.Mean() : 0.5;
    const double smooth = aside.Smoothed();  // not 0 or 1 where all rollouts agree
    const double q_error = std::sqrt(smooth * (1 - smooth) / std::max(1, aside.samples));
    response.p[k] = stay * response.p[k + 1] + leave * q;
    response.p_error[k] = std::hypot(stay * response.p_error[k + 1], leave * q_error);
    response.delta[k] = leave * (response.p[k + 1] - q);
    response.delta_error[k] = leave * std::hypot(response.p_error[k + 1], q_error);
  }
}

TinyTruth LoadTinyTruth(const std::filesystem::path& path) {
  data::JsonLineReader lines(path);
  nlohmann::json line;
  TinyTruth truth;
  try {
    if (!lines.Next(line)) Fail("{}: the file is empty", path.string());
    line.at("command").get_to(truth.command);
    line.at("weights_sha256").get_to(truth.weights_sha256);
    line.at("temperature").get_to(truth.temperature);
    line.at("max_new_tokens").get_to(truth.max_new_tokens);
    line.at("seed").get_to(truth.seed);
    while (lines.Next(line)) truth.responses.push_back(FromJson(line));
  } catch (const nlohmann::json::exception& error) {
    Fail("{}: {}", lines.Where(), error.what());
  }
  return truth;
}

void SaveTinyTruth(const TinyTruth& truth, const std::filesystem::path& path) {
  const json first = {{"command", truth.command},
                      {"weights_sha256", truth.weights_sha256},
                      {"temperature", truth.temperature},
                      {"max_new_tokens", truth.max_new_tokens},
                      {"seed", truth.seed}};
  data::FileSink file(path);
  file.Write(first.dump() + "\n");
  for (const TrueResponse& response : truth.responses) file.Write(ToJson(response).dump() + "\n");
  file.Commit();
}

std::vector<GivenResponse> GivenResponses(const TinyTruth& truth, std::span<const Query> queries) {
  std::vector<GivenResponse> given;
  for (const TrueResponse& response : truth.responses) {
    const auto query = std::ranges::find(queries, response.id, &Query::id);
    if (query == queries.end()) Fail("tiny truth: there is no problem {}", response.id);
    given.push_back({*query, response.tokens, response.logprobs, response.success});
  }
  return given;
}

}  // namespace pivotal::testing
