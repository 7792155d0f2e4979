// Apache-2.0.
#include "experiments/search/run_anchors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "data/base/answers.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/base/parallel.h"
#include "data/base/text.h"
#include "data/traces/event_file.h"
#include "data/traces/trace_store.h"
#include "experiments/search/run_config.h"
#include "experiments/search/run_exports.h"
#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"
#include "pts/answers.h"
#include "pts/completion_shares.h"
#include "pts/oracles/code/command_oracle.h"
#include "pts/response_steps.h"
#include "pts/sentence_effects.h"
#include "pts/sentence_text.h"
#include "pts/verdicts.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kOthersTold = 5;  // sentences in place of one, most rollouts first

// What the sentences of all completions of a query say: equal texts have one number.
class SpokenSentences {
 public:
  explicit SpokenSentences(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  pts::CompletionSentences Of(const std::vector<TokenId>& response) {
    pts::CompletionSentences of;
    for (const pts::ResponseStep& step : pts::StepsOf(tokenizer_, response)) {
      of.ends.push_back(step.end);
      of.says.push_back(NumberOf(std::string(data::Trim(step.text))));
    }
    return of;
  }
  const std::string& Text(int32_t says) const { return texts_[static_cast<std::size_t>(says)]; }
  bool Same(int32_t a, int32_t b) const {
    return pts::SayTheSame(words_[static_cast<std::size_t>(a)],
                           words_[static_cast<std::size_t>(b)]);
  }

 private:
  int32_t NumberOf(const std::string& text) {
    const auto [at, is_new] = numbers_.try_emplace(text, static_cast<int32_t>(texts_.size()));
    if (is_new) {
      texts_.push_back(text);
      words_.push_back(pts::WordsOf(text));
    }
    return at->second;
  }

  const Tokenizer& tokenizer_;
  std::map<std::string, int32_t> numbers_;
  std::vector<std::string> texts_;
  std::vector<pts::SentenceWords> words_;
};

// Returns the category that codelion/pts shares between its events.
ordered_json SharedCategory(pts::SentenceKind kind) {
  switch (kind) {
    case pts::SentenceKind::kProblemSetup: return "interpretation";
    case pts::SentenceKind::kPlanGeneration: return "planning";
    case pts::SentenceKind::kFactRetrieval: return "fact_retrieval";
    case pts::SentenceKind::kActiveComputation: return "computation";
    case pts::SentenceKind::kUncertaintyManagement: return "uncertainty";
    case pts::SentenceKind::kResultConsolidation: return "consolidation";
    case pts::SentenceKind::kSelfChecking: return "verification";
    case pts::SentenceKind::kFinalAnswerEmission: return "final_answer";
    case pts::SentenceKind::kUnknown: return "unknown";
  }
  return nullptr;
}

// Names the categories of sentences, by rule or by a program.
class Categories {
 public:
  Categories(const AnchorSettings& settings, OracleOptions limits)
      : threads_(limits.ThreadsOrCores()), tally_(limits.max_failures) {
    if (settings.judge.empty()) return;
    limits.timeout = settings.judge_timeout;
    classifier_ =
        pts::MakeCommandClassifier(settings.judge, pts::kSentenceKindNames.Names(), limits);
  }

  // Returns the category of each sentence of a response; nothing where the program gives none.
  std::vector<std::optional<pts::SentenceKind>> Of(const QueryTrace& query,
                                                   const std::vector<std::string>& sentences) {
    std::vector<std::optional<pts::SentenceKind>> kinds(sentences.size());
    std::vector<std::string> before(sentences.size());
    for (std::size_t i = 1; i < sentences.size(); ++i) before[i] = before[i - 1] + sentences[i - 1];
    data::ParallelFor(sentences.size(), classifier_ ? threads_ : 1, [&](std::size_t i) {
      const std::string_view sentence = data::Trim(sentences[i]);
      if (!classifier_) {
        kinds[i] = pts::KindOf(sentence);
        return;
      }
      const auto name = tally_.Ask([&] {
        return classifier_->Category({query.question, query.answer, before[i]}, sentence);
      });
      if (name) kinds[i] = pts::kSentenceKindNames.Parse(*name);
    });
    return kinds;
  }
  VerdictCounts counts() const { return tally_.counts(); }

 private:
  int32_t threads_;
  pts::VerdictTally tally_;
  std::unique_ptr<const pts::SentenceClassifier> classifier_;
};

ordered_json Described(const pts::ShareEstimate& estimate) {
  return {{"share", estimate.share},
          {"low", estimate.low},
          {"high", estimate.high},
          {"rollouts", estimate.rollouts}};
}

ordered_json Described(const pts::ShareContrast& contrast) {
  return {{"with", Described(contrast.with)},
          {"without", Described(contrast.without)},
          {"change", contrast.change},
          {"low", contrast.low},
          {"high", contrast.high}};
}

// The settings and texts that all events of a file share.
struct EventContext {
  const Tokenizer& tokenizer;
  std::string model, timestamp;
  double gap, z;
};

// Writes the events of one response.
class AnchorWriter {
 public:
  AnchorWriter(const EventContext& context, const QueryTrace& query, int32_t response,
               const SpokenSentences& spoken, std::vector<pts::SentenceEffect> effects,
               const std::vector<pts::ResponseStep>& steps,
               const std::vector<std::optional<pts::SentenceKind>>& kinds)
      : context_(context),
        query_(query),
        response_(response),
        spoken_(spoken),
        effects_(std::move(effects)),
        kinds_(kinds) {
    for (const pts::ResponseStep& step : steps) {
      prefixes_.push_back(text_);
      sentences_.emplace_back(data::Trim(step.text));
      text_ += step.text;
      const std::size_t number = ids_.size();
      ids_.push_back(
          "sentence_evt_" +
          data::Sha256OfText(fmt::format("{}\n{}\n{}\n{}\n{}\n{}", context.model, query.id,
                                         query.question, response, number, sentences_.back()))
              .substr(0, 12));
    }
    depends_on_.resize(ids_.size());
    dependents_.resize(ids_.size());
    for (std::size_t a = 0; a < effects_.size(); ++a)
      for (std::size_t b = a + 1; b < effects_.size(); ++b) {
        const auto& on = effects_[a].on[b];
        if (!on || on->low <= 0 || on->change < context.gap) continue;
        depends_on_[b].push_back(a);
        dependents_[a].push_back(b);
      }
  }

  void Write(data::FileSink& sink, AnchorSummary& summary) const {
    for (std::size_t i = 0; i < effects_.size(); ++i) {
      sink.Write(data::JsonLine(Event(i)));
      ++summary.sentences;
      summary.anchors += std::abs(DeltaOf(effects_[i])) >= context_.gap ? 1 : 0;
      summary.unmeasured += effects_[i].success ? 0 : 1;
      summary.dependencies += std::ssize(depends_on_[i]);
    }
    ++summary.responses;
  }

 private:
  static double DeltaOf(const pts::SentenceEffect& effect) {
    return effect.success ? effect.success->change : effect.change;
  }

  ordered_json IdsOf(const std::vector<std::size_t>& sentences) const {
    ordered_json ids = ordered_json::array();
    for (const std::size_t i : sentences) ids.push_back(ids_[i]);
    return ids;
  }

  ordered_json Event(std::size_t i) const {
    const pts::SentenceEffect& effect = effects_[i];
    const double delta = DeltaOf(effect), with = std::clamp(effect.after, 0.0, 1.0);
    const double without =
        std::clamp(effect.success ? effect.success->without.share : effect.before, 0.0, 1.0);
    ordered_json kind = nullptr, category = nullptr;
    if (kinds_[i]) {
      kind = pts::kSentenceKindNames.Name(*kinds_[i]);
      category = SharedCategory(*kinds_[i]);
    }
    ordered_json alternatives = ordered_json::array();
    for (std::size_t o = 0; o < std::min(effect.others.size(), kOthersTold); ++o)
      alternatives.push_back(spoken_.Text(effect.others[o].says));
    ordered_json linked = IdsOf(depends_on_[i]);
    for (const std::size_t b : dependents_[i]) linked.push_back(ids_[b]);
    return {
        {"schema_version", data::kEventSchema},
        {"event_id", ids_[i]},
        {"event_type", "thought_anchor"},
        {"granularity", "sentence"},
        {"visibility", "emitted"},
        {"model_id", context_.model},
        {"dataset_item_id", query_.id},
        {"task_type", "generic"},
        {"query", query_.question},
        {"timestamp", context_.timestamp},
        {"context", prefixes_[i]},
        {"label", sentences_[i]},
        {"position", i},
        {"prob_before", without},
        {"prob_after", with},
        {"prob_delta", delta},
        {"score", std::abs(delta)},
        {"is_positive", delta > 0},
        {"search_method", "sentence_pts"},
        {"intervention_type", effect.success ? "replace_sentence" : "remove_sentence"},
        {"category", category},
        {"linked_event_ids", std::move(linked)},
        {"precedes_event_ids", IdsOf(dependents_[i])},
        {"follows_event_ids", IdsOf(depends_on_[i])},
        {"sentence", sentences_[i]},
        {"sentence_id", i},
        {"sentence_category", kind},
        {"prefix_context", prefixes_[i]},
        {"suffix_context", i + 1 < prefixes_.size() ? text_.substr(prefixes_[i + 1].size()) : ""},
        {"prob_with_sentence", with},
        {"prob_without_sentence", without},
        {"importance_score", std::abs(delta)},
        {"causal_dependencies", depends_on_[i]},
        {"causal_dependents", dependents_[i]},
        {"alternatives_tested", std::move(alternatives)},
        {"metadata", Metadata(i)}};
  }

  ordered_json Metadata(std::size_t i) const {
    const pts::SentenceEffect& effect = effects_[i];
    ordered_json others = ordered_json::array(), dependencies = ordered_json::array();
    for (std::size_t o = 0; o < std::min(effect.others.size(), kOthersTold); ++o)
      others.push_back({{"sentence", spoken_.Text(effect.others[o].says)},
                        {"rollouts", effect.others[o].rollouts},
                        {"successes", effect.others[o].successes}});
    for (std::size_t a = 0; a < i; ++a) {
      if (!effects_[a].on[i]) continue;
      ordered_json on = {{"sentence_id", a}};
      on.update(Described(*effects_[a].on[i]));
      dependencies.push_back(std::move(on));
    }
    ordered_json metadata = {
        {"response", response_},
        {"success", query_.responses[static_cast<std::size_t>(response_)].success},
        {"begin", effect.begin},
        {"end", effect.end},
        {"answer", data::AnswersJson(query_.answer, query_.other_answers)},
        {"prob_threshold", context_.gap},
        {"resampling",
         {{"before", effect.before},
          {"after", effect.after},
          {"change", effect.change},
          {"low", effect.low},
          {"high", effect.high}}},
        {"counterfactual", nullptr},
        {"resilience", nullptr},
        {"dependencies", std::move(dependencies)},
        {"alternatives", std::move(others)}};
    if (effect.success) metadata["counterfactual"] = Described(*effect.success);
    if (effect.resilience) metadata["resilience"] = Described(*effect.resilience);
    return metadata;
  }

  const EventContext& context_;
  const QueryTrace& query_;
  int32_t response_;
  const SpokenSentences& spoken_;
  std::vector<pts::SentenceEffect> effects_;
  const std::vector<std::optional<pts::SentenceKind>>& kinds_;
  std::vector<std::string> prefixes_, sentences_, ids_;
  std::string text_;
  std::vector<std::vector<std::size_t>> depends_on_, dependents_;
};

void WriteAnchors(const EventContext& context, const QueryTrace& query, Categories& categories,
                  data::FileSink& sink, AnchorSummary& summary) {
  const pts::CompletionShares shares(query, context.gap);
  SpokenSentences spoken(context.tokenizer);
  std::vector<pts::CompletionSentences> sentences;
  for (const ResponseTrace& response : query.responses)
    sentences.push_back(spoken.Of(response.tokens));
  for (const RolloutTrace& rollout : query.rollouts)
    sentences.push_back(spoken.Of(pts::ResponseOf(query, rollout)));
  const pts::SaysTheSame same = [&](int32_t a, int32_t b) { return spoken.Same(a, b); };
  for (int32_t r = 0; r < std::ssize(query.responses); ++r) {
    const auto steps =
        pts::StepsOf(context.tokenizer, query.responses[static_cast<std::size_t>(r)].tokens);
    if (steps.empty()) continue;  // a response without text has no sentences
    std::vector<std::string> texts;
    for (const pts::ResponseStep& step : steps) texts.push_back(step.text);
    const auto kinds = categories.Of(query, texts);
    const AnchorWriter writer(context, query, r, spoken,
                              pts::SentenceEffects(shares, r, sentences, same, context.z), steps,
                              kinds);
    writer.Write(sink, summary);
  }
}

}  // namespace

AnchorSummary ExportAnchors(const AnchorSettings& settings, Progress& progress) {
  const RunConfig config = LoadRunConfig(settings.run);
  RequireMeasured(config, settings.run);
  const auto tokenizer = LoadTokenizer(config.model.folder);
  const auto traces = data::LoadRun(settings.run);
  if (std::ranges::all_of(traces, [](const QueryTrace& query) { return query.rollouts.empty(); }))
    Fail(
        "{}: holds no rollouts to compare sentences by, as it was imported or stopped at once; "
        "search its problems",
        settings.run.string());
  Categories categories(settings, config.problems.oracle_options);
  const EventContext context = {*tokenizer, config.ModelName(), EventTimestamp(), config.search.gap,
                                pts::NormalQuantile(0.5 + config.search.confidence / 2)};
  data::FileSink sink(settings.output);
  AnchorSummary summary;
  progress.Begin("anchors", std::ssize(traces), "problems", 0);
  int64_t done = 0;
  for (const QueryTrace& query : traces) {
    if (progress.StopRequested()) throw Interrupted("stopped; nothing was written");
    if (!query.rollouts.empty()) WriteAnchors(context, query, categories, sink, summary);
    progress.Update(++done, "");
  }
  progress.End();
  sink.Commit();
  summary.judged = categories.counts();
  return summary;
}

}  // namespace pivotal::experiments
