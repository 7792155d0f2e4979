// Apache-2.0.
#include "experiments/run_config.h"

#include <algorithm>
#include <array>
#include <regex>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/stop_strings.h"
#include "experiments/settings_file.h"
#include "model/lora.h"
#include "model/packed_weights.h"

namespace pivotal::experiments {
namespace {

// Visits every setting once, for writing and for reading: f(section, key, value).
template <typename Config, typename F>
void ForEachSetting(Config& config, F&& f) {
  ForEachModelSetting(config.model, f);
  f("problems", "id_key", config.problems.options.id_key);
  f("problems", "question_key", config.problems.options.question_key);
  f("problems", "answer_key", config.problems.options.answer_key);
  f("problems", "limit", config.problems.options.limit);
  f("problems", "shard", config.problems.options.shard);
  f("problems", "oracle", config.problems.oracle);
  f("problems", "oracle_timeout", config.problems.oracle_options.timeout);
  f("problems", "oracle_memory", config.problems.oracle_options.memory);
  f("problems", "allow_unsandboxed", config.problems.oracle_options.allow_unsandboxed);
  f("sampling", "temperature", config.sampling.params.temperature);
  f("sampling", "top_k", config.sampling.params.top_k);
  f("sampling", "top_p", config.sampling.params.top_p);
  f("sampling", "min_p", config.sampling.params.min_p);
  f("sampling", "max_new_tokens", config.sampling.max_new_tokens);
  f("sampling", "batch", config.sampling.batch);
  f("sampling", "kv_memory", config.sampling.kv_memory);
  f("sampling", "stop", config.sampling.stop);
  f("sampling", "weights", config.sampling.weights);
  f("sampling", "seed", config.sampling.seed);
  f("search", "strategy", config.strategy);
  f("search", "gap", config.search.gap);
  f("search", "samples", config.search.samples);
  f("search", "tolerance", config.search.tolerance);
  f("search", "confidence", config.search.confidence);
  f("search", "min_yield", config.search.min_yield);
  f("search", "max_rollouts", config.search.max_rollouts);
  f("search", "confirm", config.search.confirm);
  f("search", "min_success", config.search.min_success);
  f("search", "max_success", config.search.max_success);
  f("search", "responses", config.search.responses);
  f("search", "group", config.search.group);
  f("search", "judge_threads", config.search.judge_threads);
  f("search", "budget_tokens", config.search.budget_tokens);
  f("search", "budget_seconds", config.search.budget_seconds);
}

// Settings that came later: runs from before have the defaults.
constexpr std::array<std::string_view, 7> kLater = {"adapter", "system", "oracle_timeout",
                                                    "oracle_memory", "allow_unsandboxed", "stop", "shard"};

constexpr const char* kWriter = "pivotal search";

// The ids of <think> and </think> where they are control tokens, which Decode does not print.
std::vector<TokenId> SilentThinkTokens(const data::Tokenizer& tokenizer) {
  std::vector<TokenId> marks;
  for (const std::string_view mark : {pts::kThinkBegin, pts::kThinkEnd}) {
    const auto ids = tokenizer.Encode(mark);
    if (ids.size() == 1 && tokenizer.Decode(ids).empty()) marks.push_back(ids[0]);
  }
  return marks;
}

// Decode, with the tokens `marks` printed by name.
std::string DecodeWith(const data::Tokenizer& tokenizer, const std::vector<TokenId>& marks,
                       std::span<const TokenId> ids) {
  std::string text;
  std::size_t first = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (std::find(marks.begin(), marks.end(), ids[i]) == marks.end()) continue;
    text += tokenizer.Decode(ids.subspan(first, i - first)) + tokenizer.Piece(ids[i]);
    first = i + 1;
  }
  return text + tokenizer.Decode(ids.subspan(first));
}

}  // namespace

void SaveRunConfig(const RunConfig& config, const std::string& weights_sha256,
                   const std::filesystem::path& run) {
  SettingsFile file(kWriter);
  file.Set("model", "folder", std::filesystem::absolute(config.model.folder));
  file.Set("model", "weights_sha256", weights_sha256);
  file.Set("problems", "file", std::filesystem::absolute(config.problems.file));
  ForEachSetting(config, [&](const char* section, const char* key, const auto& value) {
    file.Set(section, key, value);
  });
  file.Save(run / "run.toml");
}

RunConfig LoadRunConfig(const std::filesystem::path& run, std::string* weights_sha256) {
  const SettingsFile file(run / "run.toml", kWriter);
  RunConfig config;
  file.Get("model", "folder", config.model.folder);
  file.Get("problems", "file", config.problems.file);
  const auto sha = file.Get<std::string>("model", "weights_sha256");
  if (weights_sha256 != nullptr) *weights_sha256 = sha;
  ForEachSetting(config, [&](const char* section, const char* key, auto& value) {
    if (std::ranges::find(kLater, key) != kLater.end() && !file.Contains(section, key)) return;
    file.Get(section, key, value);
  });
  return config;
}

void ApplySettings(const SettingsFile& file, RunConfig& config) {
  std::set<std::pair<std::string, std::string>> known;
  const auto apply = [&](const char* section, const char* key, auto& value) {
    known.emplace(section, key);
    if (file.Contains(section, key)) file.Get(section, key, value);
  };
  apply("model", "folder", config.model.folder);
  apply("problems", "file", config.problems.file);
  ForEachSetting(config, apply);
  file.RequireKnown(known);
}

std::string SettingsText(const RunConfig& config) {
  SettingsFile file(kWriter);
  ForEachSetting(config, [&](const char* section, const char* key, const auto& value) { file.Set(section, key, value); });
  return file.Text();
}

LoadedModel LoadModel(const ModelSettings& settings, model::WeightUse use) {
  if (!settings.adapter.empty()) use = model::WeightUse::kAny;  // it changes them
  LoadedModel loaded{model::LoadCheckpoint(settings.folder, model::ParseDevice(settings.device),
                                           model::ParseDType(settings.dtype), use),
                     data::PromptFormat::kPlain, settings.system, settings.dtype};
  loaded.prompt_format =
      data::MakePromptFormat(settings.prompt_format, settings.folder, loaded.tokenizer());
  if (!settings.adapter.empty()) {
    model::PhiModel& phi = *loaded.checkpoint.model;
    phi.set_adapter(model::LoadAdapter(settings.adapter, phi));
    model::MergeAdapter(phi);
  }
  return loaded;
}

std::string ModelFingerprint(const ModelSettings& settings) {
  const std::string weights = model::WeightsFingerprint(settings.folder);
  if (settings.adapter.empty()) return weights;
  return data::Sha256OfText(weights + model::AdapterFingerprint(settings.adapter));
}

std::vector<TokenId> LoadedModel::Prompt(std::span<const data::ChatMessage> messages) const {
  static const std::regex kImage(R"(<\|image(_\d+)?\|>)");
  if (phi().config().architecture == model::Architecture::kPhi3V) {
    std::smatch image;
    for (const data::ChatMessage& message : messages) {
      if (std::regex_search(message.content, image, kImage))
        Fail("a prompt holds {}, but only the text model of {} is run; take the image out of it",
             image.str(), checkpoint.folder.string());
    }
  }
  return prompt_format.Encode(tokenizer(), messages);
}

void CheckAnswers(const pts::Oracle& oracle, const std::vector<data::Problem>& problems,
                  const ProblemSettings& settings) {
  for (const data::Problem& problem : problems) {
    if (!oracle.CanRead(problem.answer))
      Fail("{}: problem {}: the oracle {} finds nothing to compare in the answer \"{}\"; choose "
           "another --oracle or --answer-key", settings.file.string(), problem.id, settings.oracle,
           problem.answer);
  }
}

model::EngineOptions EngineOptionsOf(const SamplingSettings& settings) {
  model::EngineOptions options;
  options.sampling = settings.params;
  options.seed = settings.seed;
  options.batch = settings.batch;
  options.kv_memory = settings.kv_memory;
  if (settings.weights != "auto") {
    options.weights = kernels::FindWeightType(settings.weights);
    if (!options.weights)
      Fail("weights \"{}\" are none of auto, {}", settings.weights, fmt::join(kernels::WeightTypeNames(), ", "));
  }
  options.Validate();
  return options;
}

model::EngineOptions EngineOptionsOf(const SamplingSettings& settings, const LoadedModel& model) {
  model::EngineOptions options = EngineOptionsOf(settings);
  if (!options.weights && model.phi().options().device().is_cpu())
    options.weights = model::WeightTypeOf(model::ParseDType(model.dtype));
  return options;
}

std::vector<pts::Query> MakeQueries(const std::vector<data::Problem>& problems,
                                    const LoadedModel& model) {
  std::vector<pts::Query> queries;
  for (const data::Problem& problem : problems) {
    const auto messages = data::QuestionMessages(model.system, problem.question);
    queries.push_back({problem.id, problem.question, problem.answer,
                       model.Prompt(messages)});
  }
  return queries;
}

void CheckLengths(const std::vector<pts::Query>& queries, int32_t max_new_tokens,
                  const model::PhiConfig& config) {
  for (const pts::Query& query : queries) {
    const auto total = static_cast<int64_t>(query.prompt.size()) + max_new_tokens;
    if (total > config.max_position_embeddings)
      Fail("problem {}: a prompt of {} tokens plus {} new ones is longer than the model's {} positions; "
           "lower --max-new-tokens", query.id, query.prompt.size(), max_new_tokens,
           config.max_position_embeddings);
  }
}

std::function<std::string(std::span<const TokenId>)> MakeResponseText(const data::Tokenizer& tokenizer,
                                                                      const std::vector<std::string>& stop) {
  return [&, marks = SilentThinkTokens(tokenizer),
          stops = data::StopStrings(tokenizer, stop)](std::span<const TokenId> response) {
    return std::string(stops.Before(DecodeWith(tokenizer, marks, response)));
  };
}

pts::Judge MakeJudge(const data::Tokenizer& tokenizer, const pts::Oracle& oracle,
                     const std::vector<std::string>& stop) {
  return [&, text = MakeResponseText(tokenizer, stop)](const pts::Query& query, std::span<const TokenId> response) {
    return oracle.Judge({query.question, query.answer, text(response)});
  };
}

model::StopRule MakeStopRule(const data::Tokenizer& tokenizer, const std::vector<std::string>& stop) {
  if (stop.empty()) return {};
  return [stops = data::StopStrings(tokenizer, stop)](std::span<const TokenId> response) {
    return stops.Ends(response);
  };
}

}  // namespace pivotal::experiments
