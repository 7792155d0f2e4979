// Apache-2.0.
#include "experiments/accuracy.h"

#include <nlohmann/json.hpp>
#include <numeric>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/json_input.h"
#include "kernels/philox.h"
#include "pts/judge_pool.h"

namespace pivotal::experiments {
namespace {

constexpr std::size_t kGroup = 64;  // problems between two progress updates
constexpr int32_t kJudgeThreads = 2;

// Of each query: `samples` drawn, then one at temperature 0.
std::vector<model::RolloutRequest> Requests(std::span<const pts::Query> queries, int32_t samples,
                                            const SamplingSettings& sampling, const model::StopRule& stop) {
  kernels::SamplingParams greedy = sampling.params;
  greedy.temperature = 0;
  std::vector<model::RolloutRequest> requests;
  for (const pts::Query& query : queries) {
    model::RolloutRequest request{query.prompt, samples, sampling.max_new_tokens,
                                  kernels::MixStream(kernels::MixStream(0, "evaluate"), query.id), 0};
    request.stop = stop;
    requests.push_back(request);
    request.count = 1;
    request.sampling = greedy;
    requests.push_back(std::move(request));
  }
  return requests;
}

template <typename Score>
MeanInterval OverProblems(const std::vector<ProblemScore>& problems, Score score) {
  std::vector<double> values;
  for (const ProblemScore& problem : problems) values.push_back(score(problem));
  return BootstrapMean(values);
}

}  // namespace

MeanInterval Accuracy::Sampled() const {
  return OverProblems(problems, [](const ProblemScore& p) { return p.Mean(); });
}

MeanInterval Accuracy::Greedy() const {
  return OverProblems(problems, [](const ProblemScore& p) { return p.greedy ? 1.0 : 0.0; });
}

MeanInterval Accuracy::Answered() const {
  return OverProblems(problems, [](const ProblemScore& p) {
    return p.samples > 0 ? static_cast<double>(p.samples - p.refusals) / p.samples : 0.0;
  });
}

MeanInterval Accuracy::RightOfAnswered() const {
  std::vector<double> right, answered;
  for (const ProblemScore& problem : problems) {
    right.push_back(problem.successes);
    answered.push_back(problem.samples - problem.refusals);
  }
  return BootstrapRatio(right, answered);
}

Accuracy Evaluate(const LoadedModel& model, const std::vector<data::Problem>& problems,
                  const pts::Oracle& oracle, const SamplingSettings& sampling, const EvalOptions& options,
                  Progress& progress) {
  const int32_t samples = options.samples;
  if (samples < 0) Fail("--samples must be at least 0, got {}", samples);
  model::RolloutEngine engine(model.phi(), EngineOptionsOf(sampling, model));
  const auto text = MakeResponseText(model.tokenizer(), sampling.stop);
  const auto judge = MakeJudge(model.tokenizer(), oracle, sampling.stop);
  const auto is_refusal = [&](std::span<const TokenId> response) {
    return !options.refusal.empty() && text(response).find(options.refusal) != std::string::npos;
  };
  const auto stop = MakeStopRule(model.tokenizer(), sampling.stop);
  const auto queries = MakeQueries(problems, model);
  Accuracy accuracy;
  double solved = 0;
  progress.Begin("evaluate", static_cast<int64_t>(queries.size()), "problems");
  for (std::size_t first = 0; first < queries.size(); first += kGroup) {
    const auto group = std::span(queries).subspan(first, std::min(kGroup, queries.size() - first));
    const auto requests = Requests(group, samples, sampling, stop);
    std::vector<std::vector<uint8_t>> verdicts;
    for (const model::RolloutRequest& request : requests)
      verdicts.emplace_back(static_cast<std::size_t>(request.count));
    std::vector<int32_t> refusals(requests.size());
    pts::JudgePool pool(judge, kJudgeThreads);
    engine.Sample(requests, progress, [&](std::size_t i, int32_t rollout, const model::Rollout& ended) {
      if (is_refusal(ended.tokens)) {
        ++refusals[i];
      } else {
        pool.Submit(group[i / 2], ended.tokens, verdicts[i][static_cast<std::size_t>(rollout)]);
      }
    });
    pool.Wait();
    for (std::size_t i = 0; i < group.size(); ++i) {
      const auto& drawn = verdicts[2 * i];
      accuracy.problems.push_back({group[i].id, samples, std::accumulate(drawn.begin(), drawn.end(), 0),
                                   verdicts[2 * i + 1][0] != 0, refusals[2 * i], refusals[2 * i + 1] > 0});
      const ProblemScore& score = accuracy.problems.back();
      solved += samples > 0 ? score.Mean() : static_cast<double>(score.greedy);
    }
    const auto done = static_cast<int64_t>(accuracy.problems.size());
    progress.Update(done, fmt::format("accuracy {:.1f}%", 100.0 * solved / static_cast<double>(done)));
  }
  progress.End();
  accuracy.counters = engine.counters();
  return accuracy;
}

AccuracyChange Compare(const Accuracy& before, const Accuracy& after) {
  if (before.problems.size() != after.problems.size()) Fail("two evaluations of different problems");
  std::vector<double> sampled, greedy;
  for (std::size_t i = 0; i < before.problems.size(); ++i) {
    const ProblemScore &a = before.problems[i], &b = after.problems[i];
    if (a.id != b.id) Fail("two evaluations of different problems: {} and {}", a.id, b.id);
    sampled.push_back(b.Mean() - a.Mean());
    greedy.push_back(static_cast<double>(b.greedy) - static_cast<double>(a.greedy));
  }
  return {BootstrapMean(sampled), BootstrapMean(greedy)};
}

void SaveScores(const Accuracy& accuracy, const std::filesystem::path& path) {
  data::FileSink file(path);
  for (const ProblemScore& p : accuracy.problems) {
    const nlohmann::ordered_json line = {
        {"id", p.id}, {"samples", p.samples}, {"successes", p.successes}, {"greedy", p.greedy},
        {"refusals", p.refusals}, {"greedy_refused", p.greedy_refused}};
    file.Write(line.dump() + "\n");
  }
  file.Commit();
}

Accuracy LoadScores(const std::filesystem::path& path) {
  Accuracy accuracy;
  data::JsonLineReader reader(path);
  nlohmann::json line;
  while (reader.Next(line)) {
    const std::string where = reader.Where();
    const auto count = [&](const char* key) {
      return static_cast<int32_t>(data::CheckedInteger(data::RequireKey(line, key, where), 0, INT32_MAX, key, where));
    };
    const nlohmann::json& greedy = data::RequireKey(line, "greedy", where);
    if (!greedy.is_boolean()) Fail("{}: greedy must be true or false", where);
    accuracy.problems.push_back({data::RequireString(line, "id", where), count("samples"), count("successes"),
                                 greedy.get<bool>()});
    if (!line.contains("refusals")) continue;
    accuracy.problems.back().refusals = count("refusals");
    accuracy.problems.back().greedy_refused = line.value("greedy_refused", false);
  }
  return accuracy;
}

}  // namespace pivotal::experiments
