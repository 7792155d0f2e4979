// Apache-2.0.
#include "experiments/event_run.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/trace_store.h"

namespace pivotal::experiments {
namespace {

using Ids = std::vector<TokenId>;

Ids Joined(const Ids& first, std::span<const TokenId> second) {
  Ids joined = first;
  joined.insert(joined.end(), second.begin(), second.end());
  return joined;
}

// The text of a sequence with control tokens by name, so that it can be encoded again.
std::string TextOf(const data::Tokenizer& tokenizer, const Ids& ids) {
  std::string text;
  bool at_start = true;  // until something is printed
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
  return ids.size() >= beginning.size() && std::equal(beginning.begin(), beginning.end(), ids.begin());
}

// The events of one query, as a trace.
class Problem {
 public:
  void Add(const data::PivotalEvent& event) {
    if (trace_.question.empty()) {
      trace_.question = event.query;
      trace_.answer = event.answer;
    }
    if (!shared_) shared_ = event.prefix;
    const auto differ = std::ranges::mismatch(*shared_, event.prefix).in1;
    shared_->erase(differ, shared_->end());
    if (event.prompt_tokens > 0 && !prompt_) prompt_ = Ids(event.prefix.begin(), event.prefix.begin() + event.prompt_tokens);
    events_.push_back(&event);
  }

  data::QueryTrace Trace(const std::string& id) {
    trace_.id = id;
    trace_.prompt = prompt_ && BeginsWith(*shared_, *prompt_) ? *prompt_ : *shared_;
    trace_.searched = true;
    // The longest first: those that it begins with lie on the same response.
    std::ranges::stable_sort(events_, std::greater<>(), [](const auto* event) { return event->prefix.size(); });
    for (const data::PivotalEvent* event : events_) {
      const Ids sequence = Joined(event->prefix, {&event->token, 1});
      const Ids tokens(sequence.begin() + std::ssize(trace_.prompt), sequence.end());
      auto at = std::ranges::find_if(trace_.responses, [&](const auto& r) { return BeginsWith(r.tokens, tokens); });
      if (at == trace_.responses.end()) {
        data::ResponseTrace response;
        response.tokens = tokens;
        response.logprobs.assign(tokens.size(), 0.0f);
        response.finish = data::FinishReason::kLength;
        at = trace_.responses.insert(at, std::move(response));
      }
      AddTo(*at, *event, static_cast<int32_t>(tokens.size()));
    }
    return std::move(trace_);
  }

 private:
  // Events of a response come from its end to its beginning.
  static void AddTo(data::ResponseTrace& response, const data::PivotalEvent& event, int32_t k) {
    if (!response.pivotal.empty() && response.pivotal.front().position == k) return;  // twice in the file
    data::PivotalToken token = event.pivotal;
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

  data::QueryTrace trace_;
  std::optional<Ids> prompt_, shared_;  // as the file says; what all contexts begin with
  std::vector<const data::PivotalEvent*> events_;
};

void CheckIds(data::PivotalEvent& event, std::size_t number, const std::filesystem::path& path,
              const data::Tokenizer& tokenizer) {
  const auto fail = [&](const std::string& what) {
    Fail("{}: event {}: {}; is --model the one of the file ({})?", path.string(), number + 1, what,
         event.model_id.empty() ? "it names none" : event.model_id);
  };
  if (event.prefix.empty()) event.prefix = tokenizer.Encode(event.context);
  if (event.prefix.empty()) fail("its context has no tokens");
  if (event.token < 0) {
    // Where it stands: some tokenizers put a blank before what begins a text.
    const Ids whole = tokenizer.Encode(event.context + event.label);
    if (!BeginsWith(whole, event.prefix) || whole.size() != event.prefix.size() + 1)
      fail("it has no token_id, and its label is no single token after its context");
    event.token = whole.back();
  }
  for (TokenId id : Joined(event.prefix, {&event.token, 1}))
    if (id >= tokenizer.VocabSize()) fail(fmt::format("token id {} is outside the vocabulary", id));
}

}  // namespace

std::vector<data::PivotalEvent> EventsOfRun(const std::filesystem::path& run) {
  const RunConfig config = LoadRunConfig(run);
  const auto tokenizer = data::LoadTokenizer(config.model.folder);
  std::vector<data::PivotalEvent> events;
  for (const data::QueryTrace& query : data::TraceStore(run).ReadAll()) {
    for (int32_t r = 0; r < std::ssize(query.responses); ++r) {
      const data::ResponseTrace& response = query.responses[r];
      for (const data::PivotalToken& token : response.pivotal) {
        data::PivotalEvent event;
        const auto k = static_cast<std::size_t>(token.position);
        event.model_id = config.model.folder.string();
        event.item_id = query.id;
        event.query = query.question;
        event.answer = query.answer;
        event.prefix = data::PrefixOf(query, r, token.position - 1);
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

ImportSummary ImportEvents(const std::filesystem::path& events, const ModelSettings& model,
                           const std::filesystem::path& run) {
  data::EventFile file = data::LoadEvents(events);
  const auto tokenizer = data::LoadTokenizer(model.folder);
  std::vector<std::string> order;
  std::map<std::string, Problem> problems;
  RunConfig config;
  config.model = model;
  config.problems.file = events;
  for (std::size_t i = 0; i < file.events.size(); ++i) {
    data::PivotalEvent& event = file.events[i];
    CheckIds(event, i, events, *tokenizer);
    config.search.gap = std::min(config.search.gap, std::abs(event.after - event.before));
    const std::string& id = event.item_id.empty() ? event.query : event.item_id;
    if (!problems.contains(id)) order.push_back(id);
    problems[id].Add(event);
  }
  if (problems.empty()) Fail("{}: holds no pivotal_token events", events.string());
  ImportSummary summary{std::ssize(file.events), file.skipped, std::ssize(order), 0};
  std::vector<data::QueryTrace> traces;
  for (const std::string& id : order) {
    traces.push_back(problems[id].Trace(id));
    summary.responses += std::ssize(traces.back().responses);
  }
  const std::string fingerprint = ModelFingerprint(model);
  data::CreateOutputFolder(run);
  SaveRunConfig(config, fingerprint, run);
  data::TraceStore store(run);
  store.Append(traces);
  store.Consolidate();
  return summary;
}

}  // namespace pivotal::experiments
