// Apache-2.0.
#include "experiments/accuracy.h"

#include <nlohmann/json.hpp>

#include "data/error.h"
#include "data/file_sink.h"
#include "kernels/philox.h"

namespace pivotal::experiments {
namespace {

constexpr std::size_t kGroup = 64;  // problems between two progress updates

std::vector<model::RolloutRequest> Requests(std::span<const pts::Query> queries, int32_t count,
                                            int32_t max_new_tokens) {
  std::vector<model::RolloutRequest> requests;
  for (const pts::Query& query : queries) {
    const uint64_t stream = kernels::MixStream(kernels::MixStream(0, "evaluate"), query.id);
    requests.push_back({query.prompt, count, max_new_tokens, stream, 0});
  }
  return requests;
}

int32_t CountSuccesses(const pts::Query& query, const std::vector<model::Rollout>& rollouts,
                       const pts::Judge& judge) {
  int32_t successes = 0;
  for (const model::Rollout& rollout : rollouts) successes += judge(query, rollout.tokens);
  return successes;
}

void Add(model::RolloutCounters& sum, const model::RolloutCounters& part) {
  sum.rollouts += part.rollouts;
  sum.decoded_tokens += part.decoded_tokens;
  sum.prefilled_tokens += part.prefilled_tokens;
  sum.seconds += part.seconds;
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

Accuracy Evaluate(const LoadedModel& model, const std::vector<data::Problem>& problems,
                  const pts::Oracle& oracle, const SamplingSettings& sampling, int32_t samples,
                  Progress& progress) {
  if (samples < 0) Fail("--samples must be at least 0, got {}", samples);
  SamplingSettings greedy = sampling;
  greedy.params.temperature = 0;
  model::RolloutEngine sampler(model.phi(), EngineOptionsOf(sampling));
  model::RolloutEngine argmax(model.phi(), EngineOptionsOf(greedy));
  const auto judge = MakeJudge(model.tokenizer(), oracle);
  const auto queries = MakeQueries(problems, model);
  Accuracy accuracy;
  double solved = 0;
  progress.Begin("evaluate", static_cast<int64_t>(queries.size()), "problems");
  for (std::size_t first = 0; first < queries.size(); first += kGroup) {
    const auto group = std::span(queries).subspan(first, std::min(kGroup, queries.size() - first));
    const auto drawn = sampler.Sample(Requests(group, samples, sampling.max_new_tokens), progress);
    const auto best = argmax.Sample(Requests(group, 1, sampling.max_new_tokens), progress);
    for (std::size_t i = 0; i < group.size(); ++i) {
      accuracy.problems.push_back({group[i].id, samples, CountSuccesses(group[i], drawn[i], judge),
                                   CountSuccesses(group[i], best[i], judge) == 1});
      const ProblemScore& score = accuracy.problems.back();
      solved += samples > 0 ? score.Mean() : static_cast<double>(score.greedy);
    }
    const auto done = static_cast<int64_t>(accuracy.problems.size());
    progress.Update(done, fmt::format("accuracy {:.1f}%", 100.0 * solved / static_cast<double>(done)));
  }
  progress.End();
  Add(accuracy.counters, sampler.counters());
  Add(accuracy.counters, argmax.counters());
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
        {"id", p.id}, {"samples", p.samples}, {"successes", p.successes}, {"greedy", p.greedy}};
    file.Write(line.dump() + "\n");
  }
  file.Commit();
}

}  // namespace pivotal::experiments
