// Apache-2.0.
#include "data/traces/trace_file.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <type_traits>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/traces/trace_store.h"
#include "pivotal/version.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;

template <typename T>
std::vector<T> ToVector(std::span<const T> row) {
  return {row.begin(), row.end()};
}

std::string ToText(std::span<const char> row) { return {row.begin(), row.end()}; }

void CheckCounts(int32_t samples, int32_t successes, const std::string& where) {
  if (successes < 0 || samples < successes) {
    Fail("{}: {} successes are counted among {} samples", where, successes, samples);
  }
}

// Returns true for values up to a little above 0, which rounding may produce.
bool IsLogprob(float value) { return value <= 1e-3f; }

void CheckTokens(const std::vector<TokenId>& tokens, const std::vector<float>& logprobs,
                 FinishReason finish, const std::string& where) {
  if (tokens.size() != logprobs.size())
    Fail("{}: there are {} tokens, but {} logprobs", where, tokens.size(), logprobs.size());
  const auto odd = std::ranges::find_if_not(logprobs, IsLogprob);
  if (odd != logprobs.end()) Fail("{}: a log-probability is {}", where, *odd);
  if (finish != FinishReason::kEos && finish != FinishReason::kLength &&
      finish != FinishReason::kStop) {
    Fail("{}: finish is {}, which is never stored", where, static_cast<int>(finish));
  }
}

void CheckPosition(int32_t position, int32_t low, std::size_t length, const std::string& where) {
  if (position < low || static_cast<std::size_t>(position) > length) {
    Fail("{}: position is {} in a response of {} tokens", where, position, length);
  }
}

void CheckResponse(const ResponseTrace& response, const std::string& where) {
  const std::size_t length = response.tokens.size();
  CheckTokens(response.tokens, response.logprobs, response.finish, where);
  for (const PrefixEstimate& estimate : response.estimates) {
    CheckPosition(estimate.position, 0, length, where + ": estimate");
    CheckCounts(estimate.samples, estimate.successes, where + ": estimate");
  }
  for (const PivotalToken& token : response.pivotal) {
    CheckPosition(token.position, 1, length, where + ": pivotal token");
    CheckCounts(token.chosen_samples, token.chosen_successes, where + ": pivotal token");
    CheckCounts(token.rejected_samples, token.rejected_successes, where + ": pivotal token");
  }
  for (const AlternativeToken& alternative : response.alternatives) {
    CheckPosition(alternative.position, 1, length, where + ": alternative");
    CheckCounts(alternative.samples, alternative.successes, where + ": alternative");
  }
}

// Checks the lengths and indices that readers of a trace rely on. It runs before writing and after
// reading.
void CheckTrace(const QueryTrace& query, const std::string& file) {
  const std::string where = fmt::format("{}: query {}", file, Quoted(query.id));
  CheckCounts(query.samples, query.successes, where);
  if (query.failed_verdicts < 0) Fail("{}: {} verdicts failed", where, query.failed_verdicts);
  for (std::size_t i = 0; i < query.responses.size(); ++i) {
    CheckResponse(query.responses[i], fmt::format("{}: response {}", where, i));
  }
  for (std::size_t i = 0; i < query.rollouts.size(); ++i) {
    const RolloutTrace& rollout = query.rollouts[i];
    const std::string at = fmt::format("{}: rollout {}", where, i);
    CheckTokens(rollout.tokens, rollout.logprobs, rollout.finish, at);
    const auto responses = static_cast<int64_t>(query.responses.size());
    if (rollout.response < -1 || rollout.response >= responses) {
      Fail("{}: there is no response {}", at, rollout.response);
    }
    const bool anchored = rollout.response >= 0;
    CheckPosition(rollout.position, 0,
                  anchored ? query.responses[rollout.response].tokens.size() : 0, at);
    if (rollout.kind > RolloutKind::kLeaving) {
      Fail("{}: kind {} is unknown", at, static_cast<int>(rollout.kind));
    }
  }
}

void PushResponse(const ResponseTrace& response, int64_t query, TraceTables& to) {
  const auto row = static_cast<int64_t>(to.responses.query.size());
  to.responses.query.push_back(query);
  to.responses.tokens.Push(response.tokens);
  to.responses.logprobs.Push(response.logprobs);
  to.responses.finish.push_back(static_cast<uint8_t>(response.finish));
  to.responses.success.push_back(response.success);
  for (const PrefixEstimate& estimate : response.estimates) {
    to.estimates.response.push_back(row);
    to.estimates.position.push_back(estimate.position);
    to.estimates.samples.push_back(estimate.samples);
    to.estimates.successes.push_back(estimate.successes);
    to.estimates.mean.push_back(estimate.mean);
    to.estimates.low.push_back(estimate.low);
    to.estimates.high.push_back(estimate.high);
  }
  for (const PivotalToken& token : response.pivotal) {
    to.pivotal.response.push_back(row);
    to.pivotal.position.push_back(token.position);
    to.pivotal.before.push_back(token.before);
    to.pivotal.after.push_back(token.after);
    to.pivotal.chosen.push_back(token.chosen);
    to.pivotal.rejected.push_back(token.rejected);
    to.pivotal.chosen_samples.push_back(token.chosen_samples);
    to.pivotal.chosen_successes.push_back(token.chosen_successes);
    to.pivotal.rejected_samples.push_back(token.rejected_samples);
    to.pivotal.rejected_successes.push_back(token.rejected_successes);
    to.pivotal.low.push_back(token.low);
    to.pivotal.high.push_back(token.high);
    to.pivotal.probability.push_back(token.probability);
    to.pivotal.evidence.push_back(token.evidence);
    to.pivotal.gap_evidence.push_back(token.gap_evidence);
    to.pivotal.sequential.push_back(token.sequential);
  }
  for (const AlternativeToken& alternative : response.alternatives) {
    to.alternatives.response.push_back(row);
    to.alternatives.position.push_back(alternative.position);
    to.alternatives.token.push_back(alternative.token);
    to.alternatives.logprob.push_back(alternative.logprob);
    to.alternatives.samples.push_back(alternative.samples);
    to.alternatives.successes.push_back(alternative.successes);
    to.alternatives.low.push_back(alternative.low);
    to.alternatives.high.push_back(alternative.high);
  }
}

void PushRollout(const RolloutTrace& rollout, int64_t query, int64_t first_response,
                 RolloutTable& to) {
  to.query.push_back(query);
  to.response.push_back(rollout.response < 0 ? -1 : first_response + rollout.response);
  to.kind.push_back(static_cast<uint8_t>(rollout.kind));
  to.position.push_back(rollout.position);
  to.forced.push_back(rollout.forced);
  to.tokens.Push(rollout.tokens);
  to.logprobs.Push(rollout.logprobs);
  to.finish.push_back(static_cast<uint8_t>(rollout.finish));
  to.success.push_back(rollout.success);
}

void PushQuery(const QueryTrace& query, TraceTables& to) {
  const auto row = static_cast<int64_t>(to.queries.samples.size());
  const auto first_response = static_cast<int64_t>(to.responses.query.size());
  to.queries.id.Push(query.id);
  to.queries.question.Push(query.question);
  to.queries.answer.Push(query.answer);
  to.queries.other_answers.Push(
      query.other_answers.empty() ? std::string() : nlohmann::json(query.other_answers).dump());
  to.queries.prompt.Push(query.prompt);
  to.queries.samples.push_back(query.samples);
  to.queries.successes.push_back(query.successes);
  to.queries.searched.push_back(query.searched);
  to.queries.complete.push_back(query.complete);
  to.queries.failed_verdicts.push_back(query.failed_verdicts);
  to.queries.prefilled_tokens.push_back(query.prefilled_tokens);
  to.queries.seconds.push_back(query.seconds);
  for (const ResponseTrace& response : query.responses) PushResponse(response, row, to);
  for (const RolloutTrace& rollout : query.rollouts) {
    PushRollout(rollout, row, first_response, to.rollouts);
  }
}

// Returns the row number of the parent of row `row`. Throws Error where the parent is not among the
// `parents` rows.
std::size_t Parent(const std::vector<int64_t>& keys, std::size_t row, std::size_t parents,
                   const std::string& where) {
  if (keys[row] < 0 || static_cast<std::size_t>(keys[row]) >= parents) {
    Fail("{}: row {} refers to row {} of {}", where, row, keys[row], parents);
  }
  return static_cast<std::size_t>(keys[row]);
}

// The response that a row of /responses became.
struct ResponseSlot {
  std::size_t query;
  int32_t index;  // in QueryTrace::responses
};

// Returns the texts of a JSON list; none for "".
std::vector<std::string> TextsOfList(const std::string& list, const std::string& file) {
  std::vector<std::string> texts;
  if (list.empty()) return texts;
  const auto values = nlohmann::json::parse(list, nullptr, /*allow_exceptions=*/false);
  for (const auto& value : values.is_array() ? values : nlohmann::json::array({0})) {
    if (!value.is_string())
      Fail("{}: dataset /queries/other_answers holds {}, not a list of texts", file, Quoted(list));
    texts.push_back(value.get<std::string>());
  }
  return texts;
}

std::vector<QueryTrace> PullQueries(const QueryTable& from, const std::string& file) {
  std::vector<QueryTrace> queries(from.samples.size());
  for (std::size_t i = 0; i < queries.size(); ++i) {
    queries[i].id = ToText(from.id.Row(i));
    queries[i].question = ToText(from.question.Row(i));
    queries[i].answer = ToText(from.answer.Row(i));
    queries[i].other_answers = TextsOfList(ToText(from.other_answers.Row(i)), file);
    queries[i].prompt = ToVector(from.prompt.Row(i));
    queries[i].samples = from.samples[i];
    queries[i].successes = from.successes[i];
    queries[i].searched = from.searched[i] != 0;
    queries[i].complete = from.complete[i] != 0;
    queries[i].failed_verdicts = from.failed_verdicts[i];
    queries[i].prefilled_tokens = from.prefilled_tokens[i];
    queries[i].seconds = from.seconds[i];
  }
  return queries;
}

std::vector<ResponseSlot> PullResponses(const ResponseTable& from, const std::string& file,
                                        std::vector<QueryTrace>& queries) {
  std::vector<ResponseSlot> slots;
  for (std::size_t i = 0; i < from.query.size(); ++i) {
    const std::size_t query =
        Parent(from.query, i, queries.size(), file + ": dataset /responses/query");
    auto& responses = queries[query].responses;
    slots.push_back({query, static_cast<int32_t>(responses.size())});
    ResponseTrace& response = responses.emplace_back();
    response.tokens = ToVector(from.tokens.Row(i));
    response.logprobs = ToVector(from.logprobs.Row(i));
    response.finish = static_cast<FinishReason>(from.finish[i]);
    response.success = from.success[i] != 0;
  }
  return slots;
}

void PullEstimates(const TraceTables& from, const std::vector<ResponseSlot>& slots,
                   const std::string& file, std::vector<QueryTrace>& queries) {
  const auto response_of = [&](const std::vector<int64_t>& keys, std::size_t row,
                               const char* dataset) -> ResponseTrace& {
    const ResponseSlot& slot = slots[Parent(keys, row, slots.size(), file + dataset)];
    return queries[slot.query].responses[static_cast<std::size_t>(slot.index)];
  };
  const EstimateTable& e = from.estimates;
  for (std::size_t i = 0; i < e.response.size(); ++i) {
    response_of(e.response, i, ": dataset /estimates/response")
        .estimates.push_back(
            {e.position[i], e.samples[i], e.successes[i], e.mean[i], e.low[i], e.high[i]});
  }
  const PivotalTable& p = from.pivotal;
  for (std::size_t i = 0; i < p.response.size(); ++i) {
    response_of(p.response, i, ": dataset /pivotal/response")
        .pivotal.push_back({p.position[i], p.before[i], p.after[i], p.chosen[i], p.rejected[i],
                            p.chosen_samples[i], p.chosen_successes[i], p.rejected_samples[i],
                            p.rejected_successes[i], p.low[i], p.high[i], p.probability[i],
                            p.evidence[i], p.gap_evidence[i], p.sequential[i] != 0});
  }
  const AlternativeTable& a = from.alternatives;
  for (std::size_t i = 0; i < a.response.size(); ++i) {
    response_of(a.response, i, ": dataset /alternatives/response")
        .alternatives.push_back({a.position[i], a.token[i], a.logprob[i], a.samples[i],
                                 a.successes[i], a.low[i], a.high[i]});
  }
}

void PullRollouts(const RolloutTable& from, const std::vector<ResponseSlot>& slots,
                  const std::string& file, std::vector<QueryTrace>& queries) {
  for (std::size_t i = 0; i < from.query.size(); ++i) {
    const std::size_t query =
        Parent(from.query, i, queries.size(), file + ": dataset /rollouts/query");
    RolloutTrace& rollout = queries[query].rollouts.emplace_back();
    if (from.response[i] != -1) {
      const std::string where = file + ": dataset /rollouts/response";
      const ResponseSlot& slot = slots[Parent(from.response, i, slots.size(), where)];
      if (slot.query != query) Fail("{}: row {} belongs to another query", where, i);
      rollout.response = slot.index;
    }
    rollout.kind = static_cast<RolloutKind>(from.kind[i]);
    rollout.position = from.position[i];
    rollout.forced = from.forced[i];
    rollout.tokens = ToVector(from.tokens.Row(i));
    rollout.logprobs = ToVector(from.logprobs.Row(i));
    rollout.finish = static_cast<FinishReason>(from.finish[i]);
    rollout.success = from.success[i] != 0;
  }
}

void CheckSchema(const Hdf5ColumnReader& reader) {
  const int32_t schema = reader.GetIntAttribute("schema");
  if (schema != kTraceSchema) {
    Fail("{}: the traces have schema {}, this version reads {}; use the version that wrote them",
         reader.file(), schema, kTraceSchema);
  }
}

// Columns that a file may lack, as those of older versions do; zeros and empty texts stand for
// them.
constexpr const char* kOtherAnswers = "/queries/other_answers";
constexpr std::array<std::string_view, 5> kLaterColumns = {
    "/queries/failed_verdicts", kOtherAnswers, "/pivotal/evidence", "/pivotal/gap_evidence",
    "/pivotal/sequential"};

bool IsLacking(const Hdf5ColumnReader& reader, const std::string& path) {
  return std::ranges::find(kLaterColumns, path) != kLaterColumns.end() && !reader.Has(path);
}

TraceTables ReadTables(const Hdf5ColumnReader& reader) {
  TraceTables tables;
  tables.VisitTables([&](const std::string& name, auto& table) {
    std::size_t rows = 0;
    bool first = true;
    table.Visit([&](const char* column, auto& values) {
      const std::string path = name + "/" + column;
      std::size_t found = rows;
      if (!IsLacking(reader, path)) {
        found = reader.Read(path, values);
      } else if constexpr (requires { values.assign(rows, 0); }) {
        values.assign(rows, 0);
      } else {
        values.offsets.assign(rows + 1, 0);
      }
      if (!std::exchange(first, false) && found != rows) {
        Fail("{}: dataset {} has {} rows, but other datasets of {} have {}", reader.file(), path,
             found, name, rows);
      }
      rows = found;
    });
  });
  return tables;
}

}  // namespace

std::vector<QueryTrace> LoadTraceFile(const fs::path& path) {
  const Hdf5ColumnReader reader(path);
  CheckSchema(reader);
  const TraceTables tables = ReadTables(reader);
  std::vector<QueryTrace> queries = PullQueries(tables.queries, reader.file());
  const auto slots = PullResponses(tables.responses, reader.file(), queries);
  PullEstimates(tables, slots, reader.file(), queries);
  PullRollouts(tables.rollouts, slots, reader.file(), queries);
  for (const QueryTrace& query : queries) CheckTrace(query, reader.file());
  return queries;
}

std::vector<std::string> ReadTraceIds(const fs::path& path, TraceIds which) {
  const Hdf5ColumnReader reader(path);
  CheckSchema(reader);
  Ragged<char> column;
  const std::size_t rows = reader.Read("/queries/id", column);
  std::vector<int32_t> failed(rows, 0);
  const std::string verdicts = "/queries/failed_verdicts";
  if (which == TraceIds::kJudged && !IsLacking(reader, verdicts) &&
      reader.Read(verdicts, failed) != rows)
    Fail("{}: dataset {} has {} rows, but there are {} queries", reader.file(), verdicts,
         failed.size(), rows);
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < rows; ++i)
    if (failed[i] == 0) ids.push_back(ToText(column.Row(i)));
  return ids;
}

}  // namespace pivotal::data

namespace pivotal {

void SaveTraces(const std::filesystem::path& path, const std::vector<QueryTrace>& queries) {
  data::TraceTables tables;
  for (const QueryTrace& query : queries) {
    data::CheckTrace(query, path.string());
    data::PushQuery(query, tables);
  }
  data::Hdf5ColumnWriter writer;
  writer.SetAttribute("schema", data::kTraceSchema);
  writer.SetAttribute("pivotal_version", PIVOTAL_VERSION_STRING);
  tables.VisitTables([&](const std::string& name, auto& table) {
    writer.AddGroup(name);
    table.Visit([&](const char* column, auto& values) {
      const std::string path = name + "/" + column;
      if (path == data::kOtherAnswers && tables.queries.other_answers.values.empty()) return;
      writer.Add(path, values);
    });
  });
  data::WriteFile(path, writer.Finish());
}

std::vector<QueryTrace> LoadTraces(const std::filesystem::path& file_or_run) {
  std::error_code ignored;
  if (std::filesystem::is_directory(file_or_run, ignored)) return data::LoadRun(file_or_run);
  return data::LoadTraceFile(file_or_run);
}

}  // namespace pivotal
