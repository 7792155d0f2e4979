// Apache-2.0.
#include "cli/flags.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cli/checks.h"
#include "cli/help.h"
#include "data/template/prompt_format.h"
#include "experiments/settings/dataset_settings.h"
#include "experiments/settings/hub_names.h"
#include "kernels/packed_matrix.h"

namespace pivotal::cli {

const char* const kModelHelp =
    "folder of a Phi model in Hugging Face format, or its name on the Hub (NAME@REVISION for a "
    "branch, tag or commit), which is looked for in the cache of the Hub's tools";

const char* const kOracleHelp =
    "how responses are judged: numeric (the last numbers, with units), math (\\boxed{} and LaTeX), "
    "hash (the number after ####), last-number, exact, choice (a letter A-J), regex:PATTERN, code "
    "(runs the response as Python against the tests in the answer), command:PROGRAM (asks your "
    "program)";

bool IsGiven(const CLI::App& app, const std::string& name) {
  const CLI::Option* const option = app.get_option_no_throw(name);
  return option != nullptr && !option->empty();
}

void RefuseBesideResume(const CLI::App& app, const std::set<std::string>& allowed) {
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    if (!option->empty() && name != "--resume" && name != "--json" &&
        option->get_group() != group::kGeneral && !allowed.contains(name))
      throw CLI::ValidationError(name,
                                 "can't be changed with --resume, which goes on under the settings "
                                 "of the run; leave it out, or start a new run");
  }
}

void FindOnHub(CLI::Option* option, const CLI::App& app, experiments::ModelPart part) {
  option->type_name("FOLDER")->transform(CLI::Validator(
      [&app, part](std::string& text) {
        const bool helps = app.get_help_ptr()->count() + app.get_help_all_ptr()->count() > 0;
        if (!helps)  // else nothing is done
          text = experiments::FindModel(text, part).string();
        return std::string();
      },
      ""));
}

void AddServedFlags(CLI::App& app, ServedSettings& served, ModelSettings& model) {
  Under(app, group::kServers);
  app.get_option("--model")->required(false);
  app.add_option("--policy", served.urls,
                 "address of a server that runs the model in place of --model, such as "
                 "http://127.0.0.1:8000/v1: vLLM, SGLang, llama.cpp's server, or another one with "
                 "OpenAI's completions and token ids; several addresses share the load; a key is "
                 "read from the environment variable PIVOTAL_API_KEY")
      ->type_name("URL")
      ->allow_extra_args(false)
      ->take_all();
  app.add_option("--served-model", served.model,
                 "name of the model on the servers (default: the only one that they have)");
  FindOnHub(
      app.add_option("--tokenizer", model.folder,
                     "folder with the tokenizer and the chat template of the served model, in "
                     "Hugging Face format, or a name as of --model"),
      app, experiments::ModelPart::kTokenizer);
  std::vector<std::string> servers(kServers.begin(), kServers.end());
  servers.insert(servers.begin(), "auto");
  app.add_option("--server", served.server, "kind of the servers; auto: asks them")
      ->check(OneOf(servers))
      ->capture_default_str();
  app.add_option("--concurrency", served.concurrency,
                 "requests to the servers that are open at once, over all addresses")
      ->check(Whole(1, 1 << 16))
      ->capture_default_str();
  app.add_option("--request-timeout", served.timeout,
                 "seconds after which a request to a server is broken off and sent again")
      ->check(Interval("[0.1, 86400]"))
      ->capture_default_str();
  app.add_option("--give-up", served.give_up,
                 "seconds without an answer of any server after which the work ends; what a search "
                 "has stored stays")
      ->check(Interval("[1, 1000000]"))
      ->capture_default_str();
}

void CheckServedFlags(const CLI::App& app, const ServedSettings& served,
                      const ModelSettings& model) {
  const auto given = [&](const char* name) { return IsGiven(app, name); };
  if (!served.urls.empty()) {
    if (model.folder.empty()) throw CLI::RequiredError("--tokenizer (beside --policy)");
    for (const char* name : {"--model", "--adapter", "--device", "--dtype", "--batch",
                             "--kv-memory", "--weights", "--batch-tokens"})
      if (given(name))
        throw CLI::ValidationError(
            name, "means nothing beside --policy, whose servers run the model; leave it out");
    return;
  }
  for (const char* name : {"--served-model", "--tokenizer", "--server", "--concurrency",
                           "--request-timeout", "--give-up"})
    if (given(name)) throw CLI::ValidationError(name, "needs --policy, the address of a server");
  if (model.folder.empty()) throw CLI::RequiredError("--model (or --policy)");
}

void AddModelFlags(CLI::App& app, ModelSettings& model) {
  Under(app, group::kModel);
  auto* folder = app.add_option("--model", model.folder, kModelHelp);
  FindOnHub(folder, app, experiments::ModelPart::kWhole);
  if (model.folder.empty()) folder->required();
  auto* adapter = app.add_option(
      "--adapter", model.adapter,
      "folder of a LoRA adapter (PEFT), which is merged into the model's weights, or its name on "
      "the Hub");
  adapter->check(CLI::ExistingDirectory);
  FindOnHub(adapter, app, experiments::ModelPart::kAdapter);
  app.add_option("--device", model.device,
                 "device to run on: auto (a GPU if there is one), cpu, cuda or cuda:N")
      ->capture_default_str();
  app.add_option("--dtype", model.dtype, "type of the weights in memory")
      ->check(OneOf({"float32", "bfloat16", "float16"}))
      ->capture_default_str();
  app.add_option("--prompt-format", model.prompt_format,
                 "how a question becomes a prompt; auto: by the folder's chat template, or without "
                 "one by the tokenizer's special tokens")
      ->check(OneOf(data::PromptFormatNames()))
      ->capture_default_str();
}

void AddSystemFlag(CLI::App& app, ModelSettings& model) {
  Under(app, group::kModel);
  app.add_option("--system", model.system,
                 "system message before every question; some prompt formats have no place for it");
}

void AddProblemFlags(CLI::App& app, ProblemSettings& problems) {
  Under(app, group::kProblems);
  app.add_option(
         "--problems", problems.file,
         "problem file: one JSON object per line, CSV (*.csv), both also compressed by gzip "
         "or zstd; Parquet, which Python's pyarrow reads; -, standard input; or a data set of the "
         "Hub by its name, NAME[@REVISION][:[CONFIG/]SPLIT], which is looked for in the cache of "
         "the Hub's tools")
      ->type_name("FILE")
      ->required();
  app.add_option("--dataset", problems.options.dataset,
                 "the well-known data set that --problems holds, as the Hugging Face Hub has it; "
                 "chooses the oracle and the keys that are not given")
      ->check(OneOf(DatasetNames()));
  app.add_option("--id-key", problems.options.id_key, "JSON key of a problem's id")
      ->capture_default_str();
  app.add_option("--question-key", problems.options.question_key,
                 "JSON key of a problem's question")
      ->capture_default_str();
  app.add_option("--answer-key", problems.options.answer_key,
                 "JSON key of a problem's reference answer")
      ->capture_default_str();
  app.add_option("--limit", problems.options.limit, "use only the first N problems; 0: all")
      ->capture_default_str();
  Under(app, group::kOracle);
  app.add_option(
         "--oracle", problems.oracle,
         std::string(kOracleHelp) +
             "; where neither it nor --dataset is given, a file that is plainly of a "
             "well-known data set, or has choices, \\boxed{} or tests as answers, chooses it")
      ->capture_default_str();
  AddOracleFlags(app, problems.oracle_options);
}

void FindModels(ModelSettings& model, bool is_served) {
  using experiments::ModelPart;
  const auto part = is_served ? ModelPart::kTokenizer : ModelPart::kWhole;
  if (!model.folder.empty()) model.folder = experiments::FindModel(model.folder.string(), part);
  if (!model.adapter.empty())
    model.adapter = experiments::FindModel(model.adapter, ModelPart::kAdapter).string();
}

void UseDataset(const CLI::App& app, ProblemSettings& problems, const std::string& split,
                bool knows_oracle) {
  const auto given = [&](const char* name) { return IsGiven(app, name); };
  const std::string before = problems.options.dataset;
  experiments::FindProblems(problems, split);
  const bool has_oracle = given("--oracle") || given("--eval-oracle");
  if (problems.options.dataset.empty() && !has_oracle && !knows_oracle)
    experiments::GuessDataset(problems);
  const bool asks = given("--dataset") || given("--eval-dataset");
  if (problems.options.dataset.empty() || (!asks && problems.options.dataset == before)) return;
  const ProblemSettings asked = problems;
  experiments::UseDataset(asked.options.dataset, problems);
  if (has_oracle || (knows_oracle && !asks)) problems.oracle = asked.oracle;
  if (given("--id-key")) problems.options.id_key = asked.options.id_key;
  if (given("--question-key")) problems.options.question_key = asked.options.question_key;
  if (given("--answer-key")) problems.options.answer_key = asked.options.answer_key;
}

void AddOracleFlags(CLI::App& app, OracleOptions& options) {
  Under(app, group::kOracle);
  app.add_option("--oracle-timeout", options.timeout,
                 "seconds that the code and command oracles may take for one response; a program "
                 "that runs longer is wrong, a command that takes longer has failed")
      ->check(Interval("[0.1, 86400]"))
      ->capture_default_str();
  app.add_option("--oracle-memory", options.memory,
                 "MiB of memory that the code oracle may use for one response")
      ->check(Whole(64, 1 << 20))
      ->capture_default_str();
  app.add_option("--max-oracle-failures", options.max_failures,
                 "largest share of verdicts (of 250 at least) that may fail before the work stops: "
                 "time-outs, crashes and other faults of the oracle; such a response counts as "
                 "wrong; 1: never stops")
      ->check(Interval("[0, 1]"))
      ->capture_default_str();
  app.add_flag("--allow-unsandboxed", options.allow_unsandboxed,
               "let the code oracle run model-written programs with your own rights if bubblewrap "
               "cannot run");
}

void AddSamplingFlags(CLI::App& app, SamplingSettings& sampling) {
  Under(app, group::kSampling);
  constexpr int kMany = 1 << 20;
  auto& params = sampling.params;
  app.add_option("--temperature", params.temperature,
                 "temperature at which tokens are sampled; 0: always the most probable token")
      ->check(Interval("[0, 100]"))
      ->capture_default_str();
  app.add_option("--top-k", params.top_k, "sample from the k most probable tokens; 0: from all")
      ->check(Whole(0, kMany))
      ->capture_default_str();
  app.add_option("--top-p", params.top_p,
                 "sample from the smallest set of tokens that has this probability")
      ->check(Interval("(0, 1]"))
      ->capture_default_str();
  app.add_option("--min-p", params.min_p,
                 "drop tokens below this fraction of the most probable token's probability")
      ->check(Interval("[0, 1)"))
      ->capture_default_str();
  app.add_option("--max-new-tokens", sampling.max_new_tokens, "longest response, in tokens")
      ->check(Whole(1, kMany))
      ->capture_default_str();
  app.add_option(
         "--batch", sampling.batch,
         "number of rollouts that decode at once; 0: by the device, 256 on a CPU, on a GPU up to "
         "1024 as its memory allows")
      ->check(Whole(0, 65536))
      ->capture_default_str();
  app.add_option("--kv-memory", sampling.kv_memory,
                 "memory for keys and values, e.g. 4GB; rollouts wait while it is full; 0: half of "
                 "the free memory (on a GPU four fifths)")
      ->transform(CLI::AsSizeValue(true))
      ->default_str("0");
  app.add_option("--stop", sampling.stop,
                 "text that ends a response, as the end of sequence does; can be given several "
                 "times")
      ->allow_extra_args(false)
      ->take_all();
  auto weights = kernels::WeightTypeNames();
  weights.insert(weights.begin(), "auto");
  app.add_option(
         "--weights", sampling.weights,
         "type in which decoding on a CPU stores the weights, an adapter beside those in nf4; a "
         "GPU takes nf4 and int8; auto: the type of --dtype")
      ->check(OneOf(weights))
      ->capture_default_str();
  app.add_option("--seed", sampling.seed,
                 "seed of the random numbers; the same seed gives the same rollouts")
      ->capture_default_str();
}

void AddJsonFlag(CLI::App& app, bool& json) {
  Under(app, group::kOutput);
  app.add_flag("--json", json, "print the result as one JSON object");
}

void AddForceFlag(CLI::App& app, bool& force) {
  Under(app, group::kOutput);
  app.add_flag("--force", force, "replace the output if it exists, once the new one is whole");
}

void AddConfigFlag(CLI::App& app, std::filesystem::path& file, const std::string& form) {
  Under(app, group::kRun);
  app.add_option("--config", file,
                 "file of settings in the form of " + form +
                     "; a flag that is given, too, wins; what neither says has its default")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
}

void ApplyFlagsAgain(CLI::App& app) {
  for (CLI::Option* option : app.get_options())
    if (!option->empty()) option->run_callback();
}

void AddShardSizeFlag(CLI::App& app, int64_t& bytes) {
  app.add_option("--max-shard-size", bytes,
                 "split the weights into files of at most this size, e.g. 500MB")
      ->transform(CLI::AsSizeValue(true))
      ->check(Interval("(0, inf)"))
      ->default_str("5GB");
}

}  // namespace pivotal::cli
