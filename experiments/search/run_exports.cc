// Apache-2.0.
#include "experiments/search/run_exports.h"

#include <ATen/TensorOperators.h>
#include <c10/core/InferenceMode.h>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/text.h"
#include "data/traces/event_file.h"
#include "data/traces/trace_store.h"
#include "experiments/search/run_config.h"
#include "experiments/search/run_findings.h"
#include "experiments/settings/loading.h"
#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"
#include "pts/pair_builder.h"
#include "pts/response_steps.h"
#include "pts/right_completions.h"
#include "pts/sentence_text.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;
using Ids = std::vector<TokenId>;

Ids Joined(const Ids& first, std::span<const TokenId> second) {
  Ids joined = first;
  joined.insert(joined.end(), second.begin(), second.end());
  return joined;
}

// Decodes a sequence with control tokens written by name, so that the text can be encoded again.
std::string TextOf(const Tokenizer& tokenizer, const Ids& ids) {
  std::string text;
  bool at_start = true;  // no text has been printed
  for (std::size_t first = 0; first < ids.size();) {
    std::size_t end = first;
    while (end < ids.size() && !tokenizer.Decode(std::span(ids).subspan(end, 1)).empty()) ++end;
    text += tokenizer.Decode(std::span(ids).subspan(first, end - first), at_start);
    at_start = at_start && end == first;
    if (end < ids.size()) text += tokenizer.Piece(ids[end++]);
    first = end;
  }
  return text;
}

bool BeginsWith(const Ids& ids, const Ids& beginning) {
  return ids.size() >= beginning.size() &&
         std::equal(beginning.begin(), beginning.end(), ids.begin());
}

// Collects the events of one query and makes a trace of them.
class EventQuery {
 public:
  void Add(const data::PivotalEvent& event) {
    if (trace_.question.empty()) {
      trace_.question = event.query;
      trace_.answer = event.answer;
      trace_.other_answers = event.other_answers;
    }
    if (!shared_) shared_ = event.prefix;
    const auto differ = std::ranges::mismatch(*shared_, event.prefix).in1;
    shared_->erase(differ, shared_->end());
    if (event.prompt_tokens > 0 && !prompt_)
      prompt_ = Ids(event.prefix.begin(), event.prefix.begin() + event.prompt_tokens);
    events_.push_back(&event);
  }

  QueryTrace Trace(const std::string& id) {
    trace_.id = id;
    trace_.prompt = prompt_ && BeginsWith(*shared_, *prompt_) ? *prompt_ : *shared_;
    trace_.searched = true;
    // Longest sequences first: a sequence that is the beginning of a longer one lies on its
    // response.
    std::ranges::stable_sort(events_, std::greater<>(),
                             [](const auto* event) { return event->prefix.size(); });
    for (const data::PivotalEvent* event : events_) {
      const Ids sequence = Joined(event->prefix, {&event->token, 1});
      const Ids tokens(sequence.begin() + std::ssize(trace_.prompt), sequence.end());
      auto at = std::ranges::find_if(trace_.responses,
                                     [&](const auto& r) { return BeginsWith(r.tokens, tokens); });
      if (at == trace_.responses.end()) {
        ResponseTrace response;
        response.tokens = tokens;
        response.logprobs.assign(tokens.size(), 0.0f);
        response.finish = FinishReason::kLength;
        at = trace_.responses.insert(at, std::move(response));
      }
      AddTo(*at, *event, static_cast<int32_t>(tokens.size()));
    }
    return std::move(trace_);
  }

 private:
  // Adds the event at position k. The events of a response come from its end to its beginning.
  static void AddTo(ResponseTrace& response, const data::PivotalEvent& event, int32_t k) {
    if (!response.pivotal.empty() && response.pivotal.front().position == k)
      return;  // the file holds the event twice
    PivotalToken token = event.pivotal;
    token.position = k;
    response.pivotal.insert(response.pivotal.begin(), token);
    response.logprobs[k - 1] = std::min(event.logprob, 0.0f);
    const auto estimate = [&](int32_t position, double p) {
      if (response.estimates.empty() || response.estimates.front().position != position)
        response.estimates.insert(response.estimates.begin(), {position, 0, 0, p, 0, 1});
    };
    estimate(k, event.after);
    estimate(k - 1, event.before);
  }

  QueryTrace trace_;
  std::optional<Ids> prompt_;  // the prompt that the file names
  std::optional<Ids> shared_;  // longest common prefix of all contexts
  std::vector<const data::PivotalEvent*> events_;
};

// Fills in the ids that the file lacks. Throws Error for an id outside the vocabulary.
void CompleteIds(data::PivotalEvent& event, std::size_t number, const std::filesystem::path& path,
                 const Tokenizer& tokenizer) {
  const auto fail = [&](const std::string& what) {
    Fail("{}: event {}: {}; --model must be the model of the file, which names {}", path.string(),
         number + 1, what, event.model_id.empty() ? "none" : event.model_id);
  };
  if (event.prefix.empty()) event.prefix = tokenizer.Encode(event.context);
  if (event.prefix.empty()) fail("its context has no tokens");
  if (event.token < 0) {
    // Encoded behind its context: some tokenizers put a blank before the first token of a text.
    const Ids whole = tokenizer.Encode(event.context + event.label);
    if (!BeginsWith(whole, event.prefix) || whole.size() != event.prefix.size() + 1)
      fail("it has no token_id, and its label is no single token after its context");
    event.token = whole.back();
  }
  for (TokenId id : Joined(event.prefix, {&event.token, 1}))
    if (id >= tokenizer.VocabSize()) fail(fmt::format("token id {} is outside the vocabulary", id));
}

std::vector<float> Floats(const at::Tensor& row) {
  const at::Tensor values = row.to(at::kCPU, at::kFloat).contiguous();
  return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()};
}

// Writes the lines of hidden states and sums up the differences of pairs.
class SteeringWriter {
 public:
  SteeringWriter(const model::PhiModel& model, const Tokenizer& tokenizer, data::FileSink& sink)
      : model_(model),
        tokenizer_(tokenizer),
        sink_(sink),
        differences_(static_cast<std::size_t>(model.config().num_hidden_layers)) {}

  // Returns the size that the file of all pivotal tokens of `traces` may have.
  int64_t MostBytes(std::span<const QueryTrace> traces) const {
    constexpr int64_t kNumber = 24, kKeys = 200;  // bytes of a number; of a line without them
    const int64_t layers = std::ssize(differences_);
    const int64_t line = kKeys + kNumber * model_.config().hidden_size;
    int64_t bytes = layers * line;  // of the mean differences
    for (const QueryTrace& query : traces)
      for (const ResponseTrace& response : query.responses)
        bytes += std::ssize(response.pivotal) * layers * (line + std::ssize(query.id));
    return bytes;
  }

  // Adds the lines of a pivotal token of response `number`; `pair` says whether it gives a pair.
  void Add(const QueryTrace& query, int32_t number, const PivotalToken& token, bool pair) {
    const std::vector<TokenId> prefix = PrefixOf(query, number, token.position - 1);
    const auto before = static_cast<int64_t>(prefix.size()) - 1;
    const std::string category(pts::kSentenceKindNames.Name(
        KindAt(query.responses[static_cast<std::size_t>(number)].tokens, token.position)));
    const auto outputs_after = [&](TokenId side) {
      std::vector<TokenId> sequence = prefix;
      sequence.push_back(side);
      return model_.LayerOutputs(sequence);
    };
    const auto accepted = pair ? outputs_after(token.chosen) : model_.LayerOutputs(prefix);
    const auto rejected = pair ? outputs_after(token.rejected) : std::vector<at::Tensor>();
    for (std::size_t layer = 0; layer < differences_.size(); ++layer) {
      sink_.Write(ordered_json{{"id", fmt::format("{}/{}/{}", query.id, number, token.position)},
                               {"position", before + 1},
                               {"token", query.responses[number].tokens[token.position - 1]},
                               {"delta", token.after - token.before},
                               {"sentence_category", category},
                               {"layer", layer},
                               {"hidden", Floats(accepted[layer][before])}}
                      .dump() +
                  "\n");
      if (!pair) continue;
      const at::Tensor difference =
          accepted[layer][before + 1].to(at::kDouble) - rejected[layer][before + 1].to(at::kDouble);
      at::Tensor& sum = differences_[layer];
      sum = sum.defined() ? sum + difference : difference;
    }
    ++summary_.tokens;
    summary_.pairs += pair;
  }

  SteeringSummary Finish() {
    summary_.layers = std::ssize(differences_);
    for (std::size_t layer = 0; layer < differences_.size() && summary_.pairs > 0; ++layer)
      sink_.Write(ordered_json{{"layer", layer},
                               {"pairs", summary_.pairs},
                               {"mean_difference",
                                Floats(differences_[layer] / static_cast<double>(summary_.pairs))}}
                      .dump() +
                  "\n");
    return summary_;
  }

 private:
  // Returns what the sentence of t_position does.
  pts::SentenceKind KindAt(const Ids& response, int32_t position) const {
    for (const pts::ResponseStep& step : pts::StepsOf(tokenizer_, response))
      if (step.end >= position) return pts::KindOf(data::Trim(step.text));
    return pts::SentenceKind::kUnknown;  // a response without text
  }

  const model::PhiModel& model_;
  const Tokenizer& tokenizer_;
  data::FileSink& sink_;
  std::vector<at::Tensor> differences_;  // [layer]: sum over pairs, a tensor [hidden]
  SteeringSummary summary_;
};

}  // namespace

std::string EventTimestamp() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}", fmt::gmtime(std::time(nullptr)));
}

std::vector<data::PivotalEvent> EventsOfRun(const std::filesystem::path& run,
                                            const RunConfig& config, double max_false_share) {
  const auto tokenizer = LoadTokenizer(config.model.folder);
  std::vector<data::PivotalEvent> events;
  const Findings findings = LoadFindings(run, config.search.gap, max_false_share);
  for (const QueryTrace& query : findings.traces) {
    for (int32_t r = 0; r < std::ssize(query.responses); ++r) {
      const ResponseTrace& response = query.responses[r];
      for (const PivotalToken& token : response.pivotal) {
        data::PivotalEvent event;
        const auto k = static_cast<std::size_t>(token.position);
        event.model_id = config.ModelName();
        event.item_id = query.id;
        event.query = query.question;
        event.answer = query.answer;
        event.other_answers = query.other_answers;
        event.prefix = PrefixOf(query, r, token.position - 1);
        event.prompt_tokens = std::ssize(query.prompt);
        event.context = TextOf(*tokenizer, event.prefix);
        event.token = response.tokens[k - 1];
        event.label = TextOf(*tokenizer, {event.token});
        event.position = std::ssize(event.prefix);
        event.before = std::clamp(token.before, 0.0, 1.0);
        event.after = std::clamp(token.after, 0.0, 1.0);
        event.logprob = response.logprobs[k - 1];
        event.pivotal = token;
        events.push_back(std::move(event));
      }
    }
  }
  return events;
}

int64_t ExportEvents(const std::filesystem::path& run, const std::filesystem::path& output,
                     double max_false_share) {
  const RunConfig config = LoadRunConfig(run);
  const auto events = EventsOfRun(run, config, max_false_share);
  data::SaveEvents(output, events, config.search.gap, EventTimestamp());
  return std::ssize(events);
}

ImportSummary ImportEvents(const std::filesystem::path& events, const ModelSettings& model,
                           const std::filesystem::path& run) {
  data::EventFile file = data::LoadEvents(events);
  const auto tokenizer = LoadTokenizer(model.folder);
  std::vector<std::string> order;
  std::map<std::string, EventQuery> problems;
  RunConfig config;
  config.model = model;
  config.problems.file = events;
  for (std::size_t i = 0; i < file.events.size(); ++i) {
    data::PivotalEvent& event = file.events[i];
    CompleteIds(event, i, events, *tokenizer);
    config.search.gap = std::min(config.search.gap, std::abs(event.after - event.before));
    const std::string& id = event.item_id.empty() ? event.query : event.item_id;
    if (!problems.contains(id)) order.push_back(id);
    problems[id].Add(event);
  }
  if (problems.empty()) Fail("{}: holds no pivotal_token events", events.string());
  ImportSummary summary{std::ssize(file.events), file.skipped, std::ssize(order), 0};
  std::vector<QueryTrace> traces;
  for (const std::string& id : order) {
    traces.push_back(problems[id].Trace(id));
    summary.responses += std::ssize(traces.back().responses);
  }
  const RunStart start = {.weights_sha256 = ModelFingerprint(model), .files = InputFiles(model)};
  data::OutputFolder folder(run);
  SaveRunConfig(config, start, run);
  data::TraceStore store(run);
  store.Append(traces);
  store.Consolidate();
  folder.Keep();
  return summary;
}

CompletionSummary ExportRightCompletions(const std::filesystem::path& run,
                                         const std::filesystem::path& output,
                                         const RightCompletionOptions& options) {
  const auto tokenizer = LoadTokenizer(LoadRunConfig(run).model.folder);
  const auto traces = data::LoadRun(run);
  if (!traces.empty() &&
      std::ranges::all_of(traces, [](const QueryTrace& query) { return query.rollouts.empty(); }))
    Fail("{}: has no rollouts with verdicts, as a run that was imported; search for some",
         run.string());
  const auto completions = BuildRightCompletions(traces, options);
  SaveCompletions(output, completions, *tokenizer);
  CompletionSummary summary;
  for (const QueryTrace& query : traces)
    summary.cut += std::ranges::count_if(query.rollouts, [&](const RolloutTrace& rollout) {
      return pts::IsRightCompletion(rollout, options) && pts::IsCut(rollout.finish);
    });
  summary.completions = std::ssize(completions);
  summary.problems = std::ssize(traces);
  summary.without = summary.problems;
  for (const PromptCompletion& completion : completions) {
    summary.tokens += std::ssize(completion.completion_ids);
    summary.without -= completion.id.ends_with("/right/0");  // the first of its problem
  }
  return summary;
}

SteeringSummary ExportSteering(const std::filesystem::path& run,
                               const std::filesystem::path& output, Progress& progress,
                               double max_false_share) {
  const c10::InferenceMode inference;
  const RunConfig config = LoadRunConfig(run);
  const Findings findings = LoadFindings(run, config.search.gap, max_false_share);
  const auto& traces = findings.traces;
  if (!config.served.urls.empty())
    Fail("{}: was searched with a served model; hidden states need its weights", run.string());
  const LoadedModel model = LoadModel(config.model);
  data::FileSink sink(output);
  SteeringWriter writer(model.phi(), model.tokenizer(), sink);
  sink.Reserve(writer.MostBytes(traces));
  progress.Begin("steering", std::ssize(traces), "problems");
  for (std::size_t i = 0; i < traces.size(); ++i) {
    if (progress.StopRequested()) throw Interrupted("stopped while computing hidden states");
    const auto no_pairs = pts::WhyNoPairs(traces[i], {.gap = config.search.gap});
    for (int32_t r = 0; r < std::ssize(traces[i].responses); ++r) {
      const auto& pivotal = traces[i].responses[r].pivotal;
      for (std::size_t t = 0; t < pivotal.size(); ++t)
        writer.Add(traces[i], r, pivotal[t], no_pairs[r][t] == pts::NoPair::kNone);
    }
    progress.Update(static_cast<int64_t>(i) + 1, "");
  }
  progress.End();
  const SteeringSummary summary = writer.Finish();
  sink.Commit();
  return summary;
}

}  // namespace pivotal::experiments
