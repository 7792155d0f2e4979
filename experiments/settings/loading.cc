// Apache-2.0.
#include "experiments/settings/loading.h"

#include <ATen/Parallel.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <regex>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/pairs/pair_file.h"
#include "data/problems/guess.h"
#include "kernels/packed_matrix.h"
#include "kernels/thread_team.h"
#include "model/lora.h"
#include "model/memory.h"
#include "model/packed_weights.h"
#include "model/step_sizes.h"

namespace pivotal::experiments {

namespace {

// Throws Error if the system does not start the threads that a job will need: LibTorch's, whose
// OpenMP ends the process where it gets none, and as many of the rollout engine.
void RequireThreads() { const kernels::ThreadTeam trial(2 * at::get_num_threads() - 1); }

LoadedModel Load(const ModelSettings& settings, model::WeightUse use, bool merge,
                 const model::ChooseWeights& choose) {
  RequireThreads();
  const auto base = model::ParseBaseWeights(settings.base_weights);
  if (base != model::BaseWeights::kPlain) merge = false;
  if (!settings.adapter.empty() && merge)
    use = model::WeightUse::kAny;  // merging changes the weights
  LoadedModel loaded{model::LoadCheckpoint(settings.folder, model::ParseDevice(settings.device),
                                           model::ParseDType(settings.dtype), use, base, choose),
                     data::PromptFormat::kPlain, settings.system, settings.dtype};
  loaded.prompt_format =
      data::MakePromptFormat(settings.prompt_format, settings.folder, loaded.tokenizer());
  if (!settings.adapter.empty()) {
    model::PhiModel& phi = *loaded.checkpoint.model;
    phi.set_adapter(model::LoadAdapter(settings.adapter, phi));
    if (merge) model::MergeAdapter(phi);
  }
  const model::PhiConfig& config = loaded.phi().config();
  spdlog::debug("model: {}, {} with {} layers of {}, {} on {}, {} threads{}",
                settings.folder.string(), model::ArchitectureName(config.architecture),
                config.num_hidden_layers, config.hidden_size, settings.dtype,
                loaded.phi().options().device().str(), at::get_num_threads(),
                settings.adapter.empty() ? "" : ", adapter " + settings.adapter);
  return loaded;
}

LoadedModel LoadInMemory(const ModelSettings& settings, model::WeightUse use, bool merge,
                         const model::ChooseWeights& choose = {}) {
  return model::WithMemoryFor("loading the model " + settings.folder.string(),
                              "take a narrower --dtype or --weights, or close other programs",
                              [&] { return Load(settings, use, merge, choose); });
}

// Returns the type that stands for "auto".
kernels::WeightType AutoWeights(const LoadedModel& model) {
  switch (model.phi().base_weights()) {
    case model::BaseWeights::kNf4: return kernels::WeightType::kNf4;
    case model::BaseWeights::kInt8: return kernels::WeightType::kInt8;
    default: return model::WeightTypeOf(model::ParseDType(model.dtype));
  }
}

// Chooses what the settings leave to a GPU, by the memory that it has free, and says so.
void SizeByMemory(const SamplingSettings& settings, const model::PhiModel& phi,
                  model::EngineOptions& options) {
  const c10::Device device = phi.options().device();
  model::RolloutMemory memory;
  const int64_t free = model::FreeMemory(device);
  memory.element = model::KvElementBytes(phi);
  memory.keys = settings.kv_memory > 0 ? settings.kv_memory : model::KvShare(device, free);
  memory.rest = std::max<int64_t>(0, free - memory.keys);
  memory.max_new_tokens = settings.max_new_tokens;
  const model::StepSizes sizes = model::SizesFor(phi.config(), memory);
  options.prefill_tokens = sizes.prefill_tokens;
  if (settings.batch != 0) return;
  options.batch = sizes.batch;
  spdlog::info("batch: {} rollouts decode at once, by the {} that {} has free (--batch)",
               options.batch, model::BytesText(free), device.str());
}

// Throws Error if a response could have no token.
void RequireNewTokens(int32_t max_new_tokens) {
  if (max_new_tokens < 1) Fail("max_new_tokens is {}, must be 1 or larger", max_new_tokens);
}

}  // namespace

void RequireDType(const ModelSettings& settings) { model::ParseDType(settings.dtype); }
void RequireDevice(const ModelSettings& settings) { model::ParseDevice(settings.device); }

LoadedModel LoadModel(const ModelSettings& settings, const model::ChooseWeights& choose) {
  return LoadInMemory(settings, model::WeightUse::kAny, /*merge=*/true, choose);
}

LoadedModel LoadOutline(const ModelSettings& settings) {
  ModelSettings base = settings;
  base.adapter.clear();
  return LoadInMemory(base, model::WeightUse::kShapes, /*merge=*/false);
}

LoadedModel LoadForRollouts(const ModelSettings& settings, const SamplingSettings& sampling) {
  ModelSettings own = settings;
  const auto type = kernels::FindWeightType(sampling.weights);
  const bool is_nf4 = type == kernels::WeightType::kNf4;
  const bool on_cpu = model::ParseDevice(settings.device).is_cpu();
  if (!on_cpu && (is_nf4 || type == kernels::WeightType::kInt8))
    own.base_weights = sampling.weights;
  return LoadInMemory(own, model::WeightUse::kRollouts, /*merge=*/!is_nf4);
}

std::string ModelFingerprint(const ModelSettings& settings) {
  const std::string weights = model::WeightsFingerprint(settings.folder);
  if (settings.adapter.empty()) return weights;
  return data::Sha256OfText(weights + model::AdapterFingerprint(settings.adapter));
}

std::vector<TokenId> LoadedModel::Prompt(std::span<const ChatMessage> messages) const {
  static const std::regex kImage(R"(<\|image(_\d+)?\|>)");
  if (phi().config().architecture == model::Architecture::kPhi3V) {
    std::smatch image;
    for (const ChatMessage& message : messages) {
      if (std::regex_search(message.content, image, kImage))
        Fail(
            "a prompt holds {}, but only the text model of {} is run; remove the image from the "
            "prompt",
            image.str(), checkpoint.folder.string());
    }
  }
  return prompt_format.Encode(tokenizer(), messages);
}

model::EngineOptions EngineOptionsOf(const SamplingSettings& settings) {
  RequireNewTokens(settings.max_new_tokens);
  model::EngineOptions options;
  options.sampling = settings.params;
  options.seed = settings.seed;
  if (settings.batch != 0) options.batch = settings.batch;
  options.kv_memory = settings.kv_memory;
  if (settings.weights != "auto") {
    options.weights = kernels::FindWeightType(settings.weights);
    if (!options.weights)
      Fail("weights \"{}\" are unknown: take one of auto, {}", settings.weights,
           fmt::join(kernels::WeightTypeNames(), ", "));
  }
  options.Validate();
  return options;
}

model::EngineOptions EngineOptionsOf(const SamplingSettings& settings, const LoadedModel& model) {
  model::EngineOptions options = EngineOptionsOf(settings);
  if (!options.weights && model.phi().options().device().is_cpu())
    options.weights = AutoWeights(model);
  if (!model.phi().options().device().is_cpu()) SizeByMemory(settings, model.phi(), options);
  return options;
}

RolloutModel::RolloutModel(const ModelSettings& model, const ServedSettings& served,
                           const SamplingSettings& sampling, const Progress& progress,
                           const OnToken& on_token)
    : system_(model.system) {
  if (served.urls.empty()) {
    own_ = std::make_unique<const LoadedModel>(LoadForRollouts(model, sampling));
    loaded_ = own_.get();
    tokenizer_ = &own_->tokenizer();
    MakeEngine(sampling, on_token);
    return;
  }
  RequireNewTokens(sampling.max_new_tokens);
  own_tokenizer_ = LoadTokenizer(model.folder);
  tokenizer_ = own_tokenizer_.get();
  prompt_format_ = data::MakePromptFormat(model.prompt_format, model.folder, *tokenizer_);
  ServedPolicy::Options options;
  options.sampling = sampling.params;
  options.seed = sampling.seed;
  options.stop = sampling.stop;
  if (on_token) {
    constexpr int32_t kPortion = 16;  // tokens: a line of text appears every second or so
    options.portion = kPortion;
    options.on_tokens = [on_token](std::size_t, int32_t, std::span<const TokenId> tokens) {
      for (const TokenId token : tokens) on_token(token);
    };
  }
  auto policy = ServedPolicy::Connect(served, *tokenizer_, std::move(options), progress);
  served_ = policy.get();
  policy_ = std::move(policy);
}

RolloutModel::RolloutModel(const LoadedModel& loaded, const SamplingSettings& sampling)
    : loaded_(&loaded), tokenizer_(&loaded.tokenizer()), system_(loaded.system) {
  MakeEngine(sampling, {});
}

void RolloutModel::MakeEngine(const SamplingSettings& sampling, const OnToken& on_token) {
  SamplingSettings own = sampling;
  if (on_token) own.batch = 1;
  model::EngineOptions options = EngineOptionsOf(own, *loaded_);
  if (on_token) options.on_token = [on_token](int32_t, int32_t, TokenId token) { on_token(token); };
  batch_ = options.batch;
  spdlog::debug("rollouts: {} decode at once, temperature {}, top-p {}, seed {}, weights {}",
                batch_, options.sampling.temperature, options.sampling.top_p, options.seed,
                sampling.weights);
  policy_ = std::make_unique<model::RolloutEngine>(loaded_->phi(), std::move(options));
}

std::vector<TokenId> RolloutModel::Prompt(std::span<const ChatMessage> messages) const {
  return loaded_ != nullptr ? loaded_->Prompt(messages)
                            : prompt_format_.Encode(*tokenizer_, messages);
}

int64_t RolloutModel::max_positions() const {
  return loaded_ != nullptr ? loaded_->phi().config().max_position_embeddings
                            : served_->facts().max_positions;
}

bool RolloutModel::Ends(TokenId token) const {
  if (loaded_ == nullptr) return token == tokenizer_->eos();
  const auto& ends = loaded_->phi().config().eos_token_ids;
  return std::ranges::find(ends, token) != ends.end();
}

const ServedFacts* RolloutModel::served() const {
  return served_ != nullptr ? &served_->facts() : nullptr;
}

namespace {

template <typename AnyModel>
std::vector<Query> QueriesOf(const std::vector<Problem>& problems, const AnyModel& model,
                             const std::string& system) {
  std::vector<Query> queries;
  for (const Problem& problem : problems) {
    const auto messages = data::QuestionMessages(system, problem.question);
    queries.push_back({problem.id, problem.question, problem.answer, model.Prompt(messages),
                       problem.other_answers});
  }
  return queries;
}

// Returns the query with the longest prompt; null if there is none.
const Query* Longest(const std::vector<Query>& queries) {
  const auto longest =
      std::ranges::max_element(queries, {}, [](const Query& query) { return query.prompt.size(); });
  return longest == queries.end() ? nullptr : &*longest;
}

}  // namespace

std::vector<Query> MakeQueries(const std::vector<Problem>& problems, const LoadedModel& model) {
  return QueriesOf(problems, model, model.system);
}

std::vector<Query> MakeQueries(const std::vector<Problem>& problems, const RolloutModel& model) {
  return QueriesOf(problems, model, model.system());
}

namespace {

// Returns the oracle that reads all of the answers, in brackets; "" where none plainly does.
std::string OracleHint(const std::vector<Problem>& problems, const std::string& chosen) {
  const std::string fits = data::OracleOfAnswers(problems);
  return fits.empty() || fits == chosen ? "" : fmt::format(" ({} reads them)", fits);
}

}  // namespace

bool HoldsRefusal(const std::string& text, const std::string& refusal) {
  return !refusal.empty() && text.find(refusal) != std::string::npos;
}

bool HasAnswer(const Problem& problem, const std::string& refusal) {
  return !HoldsRefusal(problem.answer, refusal) ||
         !std::ranges::all_of(problem.other_answers, [&](const std::string& answer) {
           return HoldsRefusal(answer, refusal);
         });
}

JudgedProblems LoadJudgedProblems(const ProblemSettings& settings, const std::string& refusal) {
  JudgedProblems judged = {LoadProblems(settings.file, settings.options),
                           MakeOracle(settings.oracle, settings.oracle_options)};
  for (const Problem& problem : judged.problems) {
    if (!HasAnswer(problem, refusal)) continue;
    if (settings.oracle == "code" && !problem.other_answers.empty())
      Fail(
          "{}: problem {}: has a list of answers, but the code oracle runs all tests of one; give "
          "one answer with all tests",
          settings.file.string(), problem.id);
    if (!CanReadAny(*judged.oracle, problem.answer, problem.other_answers))
      Fail(
          "{}: problem {}: the oracle {} finds nothing to compare in the answer \"{}\"; choose "
          "another --oracle{} or --answer-key",
          settings.file.string(), problem.id, settings.oracle, problem.answer,
          OracleHint(judged.problems, settings.oracle));
  }
  return judged;
}

int32_t FitNewTokens(const std::vector<Query>& queries, int32_t asked, int64_t positions) {
  const Query* longest = Longest(queries);
  if (longest == nullptr || positions == 0) return asked;
  const int64_t length = std::ssize(longest->prompt), room = positions - length;
  if (asked <= room) return asked;
  if (room < 1)
    Fail(
        "problem {}: a prompt of {} tokens fills the model's {} positions, without room for an "
        "answer; shorten it or leave the problem out",
        longest->id, length, positions);
  if (room < kLeastRoom)
    Fail(
        "problem {}: a prompt of {} tokens leaves {} of the model's {} positions, too few to cut "
        "every response to; shorten it, leave the problem out, or ask for --max-new-tokens {}",
        longest->id, length, room, positions, room);
  spdlog::info(
      "problem {}: its prompt of {} tokens, the longest, leaves {} of the model's {} positions: "
      "--max-new-tokens is {}, not {}",
      longest->id, length, room, positions, room, asked);
  return static_cast<int32_t>(room);
}

}  // namespace pivotal::experiments

namespace pivotal {

Model::Model(std::unique_ptr<const experiments::LoadedModel> loaded) : loaded_(std::move(loaded)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Model Model::Load(const ModelSettings& settings) {
  return Model(std::make_unique<const experiments::LoadedModel>(experiments::LoadModel(settings)));
}

const Tokenizer& Model::tokenizer() const { return loaded_->tokenizer(); }

int64_t Model::max_positions() const { return loaded_->phi().config().max_position_embeddings; }

std::vector<TokenId> Model::Prompt(std::string_view question) const {
  return Prompt(data::QuestionMessages(loaded_->system, question));
}

std::vector<TokenId> Model::Prompt(std::span<const ChatMessage> messages) const {
  return loaded_->Prompt(messages);
}

std::vector<Query> Model::Queries(const std::vector<Problem>& problems,
                                  int32_t max_new_tokens) const {
  experiments::RequireNewTokens(max_new_tokens);
  auto queries = experiments::MakeQueries(problems, *loaded_);
  if (const Query* longest = experiments::Longest(queries))
    loaded_->phi().config().CheckLength(std::ssize(longest->prompt), max_new_tokens,
                                        fmt::format("problem {}: a prompt", longest->id));
  return queries;
}

std::unique_ptr<Policy> Model::MakePolicy(const SamplingSettings& settings) const {
  return std::make_unique<model::RolloutEngine>(loaded_->phi(),
                                                experiments::EngineOptionsOf(settings, *loaded_));
}

std::vector<PreferencePair> LoadPairs(const std::filesystem::path& path, const Model& model) {
  const experiments::LoadedModel& loaded = *model.loaded_;
  return data::LoadPairs(path, {loaded.tokenizer(), loaded.prompt_format});
}

}  // namespace pivotal
