// Apache-2.0.
#include "experiments/evaluate/accuracy.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "experiments/settings/loading.h"
#include "kernels/philox.h"
#include "pts/judge_pool.h"
#include "pts/judging.h"

namespace pivotal::experiments {
namespace {

constexpr std::size_t kGroup = 64;  // problems between two updates of the progress
constexpr int32_t kJudgeThreads = 2;

// Returns two requests for each query: `samples` rollouts, then one at temperature 0.
std::vector<RolloutRequest> Requests(std::span<const Query> queries, int32_t samples,
                                     const SamplingSettings& sampling, const StopRule& stop) {
  SamplingParams greedy = sampling.params;
  greedy.temperature = 0;
  std::vector<RolloutRequest> requests;
  for (const Query& query : queries) {
    RolloutRequest request{query.prompt, samples, sampling.max_new_tokens,
                           kernels::MixStream(kernels::MixStream(0, "evaluate"), query.id), 0};
    request.stop = stop;
    requests.push_back(request);
    request.count = 1;
    request.sampling = greedy;
    requests.push_back(std::move(request));
  }
  return requests;
}

double Sum(std::span<const double> values, std::span<const int64_t> items) {
  double sum = 0;
  for (const int64_t i : items) sum += values[static_cast<std::size_t>(i)];
  return sum;
}

double Ratio(double numerator, double denominator) {
  return denominator != 0 ? numerator / denominator : 0;
}

// Returns statistic(items) of items 0..count-1, with its interval over resamples.
template <typename Statistic>
MeanInterval Bootstrap(std::size_t count, uint64_t seed, Statistic statistic) {
  constexpr int kResamples = 10000;
  if (count == 0) return {};
  std::vector<int64_t> items(count);
  std::iota(items.begin(), items.end(), 0);
  const double value = statistic(items);
  kernels::RandomStream random(seed, kernels::MixStream(0, "bootstrap"));
  std::vector<double> values(kResamples);
  for (double& resampled : values) {
    for (int64_t& item : items) item = random.Below(static_cast<int64_t>(count));
    resampled = statistic(items);
  }
  std::sort(values.begin(), values.end());
  return {value, values[kResamples / 40], values[kResamples - 1 - kResamples / 40]};
}

template <typename Score>
MeanInterval OverProblems(const std::vector<ProblemScore>& problems, Score score) {
  std::vector<double> values;
  for (const ProblemScore& problem : problems) values.push_back(score(problem));
  return BootstrapMean(values);
}

// Returns the line of a problem in a file of scores.
std::string LineOf(const ProblemScore& p) {
  nlohmann::ordered_json line = {
      {"id", p.id},         {"samples", p.samples},   {"successes", p.successes},
      {"greedy", p.greedy}, {"refusals", p.refusals}, {"greedy_refused", p.greedy_refused}};
  if (p.unanswerable) line["unanswerable"] = true;
  return line.dump() + "\n";
}

// Returns true if refusing is a right answer.
bool MayRefuse(const Problem& problem, const std::string& refusal) {
  return HoldsRefusal(problem.answer, refusal) ||
         std::ranges::any_of(problem.other_answers, [&](const std::string& answer) {
           return HoldsRefusal(answer, refusal);
         });
}

// Returns the size that a file of scores of these problems may have.
int64_t MostBytes(const std::vector<Problem>& problems) {
  int64_t bytes = 0;
  for (const Problem& problem : problems)
    bytes += std::ssize(LineOf({problem.id, INT32_MAX, INT32_MAX, false, INT32_MAX, false, true}));
  return bytes;
}

}  // namespace

MeanInterval BootstrapMean(std::span<const double> values, uint64_t seed) {
  return Bootstrap(values.size(), seed, [&](const std::vector<int64_t>& items) {
    return Sum(values, items) / static_cast<double>(items.size());
  });
}

MeanInterval BootstrapRatio(std::span<const double> numerators,
                            std::span<const double> denominators, uint64_t seed) {
  return Bootstrap(numerators.size(), seed, [&](const std::vector<int64_t>& items) {
    return Ratio(Sum(numerators, items), Sum(denominators, items));
  });
}

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
    right.push_back(problem.RightAnswers());
    answered.push_back(problem.samples - problem.refusals);
  }
  return BootstrapRatio(right, answered);
}

Accuracy Evaluate(const RolloutModel& model, const std::vector<Problem>& problems,
                  const Oracle& oracle, const SamplingSettings& asked, const EvalOptions& options,
                  Progress& progress) {
  const int32_t samples = options.samples;
  if (samples < 0) Fail("--samples must be at least 0, got {}", samples);
  const auto queries = MakeQueries(problems, model);
  SamplingSettings sampling = asked;
  sampling.max_new_tokens = FitNewTokens(queries, asked.max_new_tokens, model.max_positions());
  const auto text = pts::MakeResponseText(model.tokenizer(), sampling.stop);
  const auto judge = MakeJudge(model.tokenizer(), oracle, sampling.stop);
  const auto is_refusal = [&](std::span<const TokenId> response) {
    return HoldsRefusal(text(response), options.refusal);
  };
  pts::CountingJudge counting(judge, options.max_oracle_failures);
  const auto stop = MakeStopRule(model.tokenizer(), sampling.stop);
  Accuracy accuracy;
  double solved = 0;
  progress.Begin("evaluate", static_cast<int64_t>(queries.size()), "problems");
  for (std::size_t first = 0; first < queries.size(); first += kGroup) {
    const auto group = std::span(queries).subspan(first, std::min(kGroup, queries.size() - first));
    const auto requests = Requests(group, samples, sampling, stop);
    std::vector<std::vector<pts::Verdict>> verdicts;
    for (const RolloutRequest& request : requests)
      verdicts.emplace_back(static_cast<std::size_t>(request.count));
    std::vector<int32_t> refusals(requests.size());
    const auto part = std::span(problems).subspan(first, group.size());
    pts::JudgePool pool(counting, kJudgeThreads);
    model.policy().Sample(
        requests, progress, [&](std::size_t i, int32_t rollout, const Rollout& ended) {
          if (is_refusal(ended.tokens))
            ++refusals[i];
          else if (HasAnswer(part[i / 2], options.refusal))
            pool.Submit(group[i / 2], ended.tokens, verdicts[i][static_cast<std::size_t>(rollout)]);
        });
    pool.Wait(progress);
    for (std::size_t i = 0; i < group.size(); ++i) {
      ProblemScore score{.id = group[i].id, .samples = samples};
      score.refusals = refusals[2 * i];
      score.greedy_refused = refusals[2 * i + 1] > 0;
      score.unanswerable = MayRefuse(part[i], options.refusal);
      score.successes =
          static_cast<int32_t>(std::ranges::count(verdicts[2 * i], pts::Verdict::kRight));
      score.greedy = verdicts[2 * i + 1][0] == pts::Verdict::kRight;
      if (score.unanswerable) {
        score.successes += score.refusals;
        score.greedy |= score.greedy_refused;
      }
      accuracy.problems.push_back(score);
      solved += samples > 0 ? score.Mean() : static_cast<double>(score.greedy);
    }
    const auto done = static_cast<int64_t>(accuracy.problems.size());
    progress.Update(done,
                    fmt::format("accuracy {:.1f}%", 100.0 * solved / static_cast<double>(done)));
  }
  progress.End();
  accuracy.counters = model.policy().counters();
  accuracy.verdicts = counting.counts();
  return accuracy;
}

Accuracy EvaluateFile(const ModelSettings& model, const ProblemSettings& problems,
                      const SamplingSettings& sampling, const EvalOptions& options,
                      Progress& progress, data::FileSink* scores, const ServedSettings& served) {
  const auto judged = LoadJudgedProblems(problems, options.refusal);
  if (scores != nullptr) scores->Reserve(MostBytes(judged.problems));
  EvalOptions own = options;
  own.max_oracle_failures = problems.oracle_options.max_failures;
  const RolloutModel rollouts(model, served, sampling, progress);
  return Evaluate(rollouts, judged.problems, *judged.oracle, sampling, own, progress);
}

AccuracyChange Compare(const Accuracy& before, const Accuracy& after) {
  if (before.problems.size() != after.problems.size())
    Fail("the two evaluations are of different problems");
  std::vector<double> sampled, greedy;
  for (std::size_t i = 0; i < before.problems.size(); ++i) {
    const ProblemScore &a = before.problems[i], &b = after.problems[i];
    if (a.id != b.id) Fail("the two evaluations are of different problems: {} and {}", a.id, b.id);
    sampled.push_back(b.Mean() - a.Mean());
    greedy.push_back(static_cast<double>(b.greedy) - static_cast<double>(a.greedy));
  }
  return {BootstrapMean(sampled), BootstrapMean(greedy)};
}

void SaveScores(const Accuracy& accuracy, data::FileSink& file) {
  std::string lines;  // the file has all of them, to be recalled, even if it cannot write them
  for (const ProblemScore& problem : accuracy.problems) lines += LineOf(problem);
  file.Write(lines);
  file.Commit();
}

Accuracy LoadScores(const std::filesystem::path& path) {
  Accuracy accuracy;
  data::JsonLineReader reader(path);
  nlohmann::json line;
  while (reader.Next(line)) {
    const std::string where = reader.Where();
    const auto count = [&](const char* key, int32_t most) {
      return static_cast<int32_t>(
          data::CheckedInteger(data::RequireKey(line, key, where), 0, most, key, where));
    };
    const int32_t samples = count("samples", INT32_MAX);
    const nlohmann::json& greedy = data::RequireKey(line, "greedy", where);
    if (!greedy.is_boolean()) Fail("{}: greedy must be true or false", where);
    accuracy.problems.push_back({data::RequireString(line, "id", where), samples,
                                 count("successes", samples), greedy.get<bool>()});
    if (!line.contains("refusals")) continue;
    accuracy.problems.back().refusals = count("refusals", samples);
    accuracy.problems.back().greedy_refused = line.value("greedy_refused", false);
    accuracy.problems.back().unanswerable = line.value("unanswerable", false);
  }
  return accuracy;
}

}  // namespace pivotal::experiments
