// Apache-2.0.
#include "cli/flags.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <string>
#include <system_error>
#include <type_traits>

#include "data/template/prompt_format.h"
#include "experiments/settings/dataset_settings.h"
#include "kernels/packed_matrix.h"

namespace pivotal::cli {

const char* const kOracleHelp =
    "how responses are judged: numeric (the last numbers, with units), math (\\boxed{} and LaTeX), "
    "hash (the number after ####), last-number, exact, choice (a letter A-J), regex:PATTERN, code "
    "(runs the response as Python against the tests in the answer), command:PROGRAM (asks your "
    "program)";

void RefuseBesideResume(const CLI::App& app, const std::set<std::string>& allowed) {
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    if (!option->empty() && name != "--resume" && !allowed.contains(name))
      throw CLI::ValidationError(name,
                                 "can't be changed with --resume, which goes on under the settings "
                                 "of the run; leave it out, or start a new run");
  }
}

CLI::Validator Interval(const std::string& interval) {
  const auto comma = interval.find(',');
  const std::string low = interval.substr(1, comma - 1),
                    high = interval.substr(comma + 2, interval.size() - comma - 3);
  const bool open_low = interval.front() == '(', open_high = interval.back() == ')';
  return CLI::Validator(
      [=](std::string& text) {
        double value = 0;
        const double least = std::stod(low), most = std::stod(high);
        if (CLI::detail::lexical_cast(text, value) && (open_low ? value > least : value >= least) &&
            (open_high ? value < most : value <= most))
          return std::string();
        return fmt::format("{} is not {} {} and {} {}", text, open_low ? "above" : "at least", low,
                           open_high ? "below" : "at most", high);
      },
      "in " + interval);
}

namespace {

// Returns what is wrong with `text` as a number of type T; "" if nothing is.
template <typename T>
std::string WholeNumberFault(const std::string& text) {
  T value = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range && at == end) return text + " is too large";
  const bool whole = error == std::errc() && at == end;
  const bool padded = text.find_first_not_of("-") != text.find_first_not_of("-0") && value != 0;
  if (whole && !padded) return "";
  return text + (std::is_unsigned_v<T> ? " is not a whole number, 0 or larger"
                                       : " is not a whole number in decimal digits");
}

// Returns what is wrong with the number of a size such as "4GB"; "" if nothing is.
std::string SizeFault(const std::string& text) {
  return WholeNumberFault<uint64_t>(text.substr(0, text.find_first_not_of("+-.0123456789")));
}

std::string EmptyFault(const std::string& text) {
  return text.empty() ? "the value is empty; give one, or leave the option out" : std::string();
}

}  // namespace

void CheckAllOptions(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    if (type.find("SIZE") != std::string::npos)  // its unit is read before other checks
      option->transform(CLI::Validator(SizeFault, ""));
    if (type.starts_with("UINT"))
      option->check(CLI::Validator(WholeNumberFault<uint64_t>, ""));
    else if (type.starts_with("INT"))
      option->check(CLI::Validator(WholeNumberFault<int64_t>, ""));
    // Only an empty system message means something: none.
    if (!option->check_name("--system")) option->check(CLI::Validator(EmptyFault, ""));
  }
  for (CLI::App* sub : app.get_subcommands({})) CheckAllOptions(*sub);
}

void AddServedFlags(CLI::App& app, ServedSettings& served, ModelSettings& model) {
  app.get_option("--model")->required(false);
  app.add_option("--policy", served.urls,
                 "address of a server that runs the model in place of --model, such as "
                 "http://127.0.0.1:8000/v1: vLLM, SGLang, llama.cpp's server, or another one with "
                 "OpenAI's completions and token ids; several addresses share the load; a key is "
                 "read from the environment variable PIVOTAL_API_KEY")
      ->allow_extra_args(false)
      ->take_all();
  app.add_option("--served-model", served.model,
                 "name of the model on the servers (default: the only one that they have)");
  app.add_option("--tokenizer", model.folder,
                 "folder with the tokenizer and the chat template of the served model, in Hugging "
                 "Face format");
  std::vector<std::string> servers(kServers.begin(), kServers.end());
  servers.insert(servers.begin(), "auto");
  app.add_option("--server", served.server, "kind of the servers; auto: asks them")
      ->check(CLI::IsMember(servers))
      ->capture_default_str();
  app.add_option("--concurrency", served.concurrency,
                 "requests to the servers that are open at once, over all addresses")
      ->check(CLI::Range(1, 1 << 16))
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

void CheckServedFlags(const CLI::App& app) {
  const auto given = [&](const char* name) {
    const CLI::Option* option = app.get_option_no_throw(name);
    return option != nullptr && !option->empty();
  };
  if (given("--policy")) {
    if (!given("--tokenizer")) throw CLI::RequiredError("--tokenizer (beside --policy)");
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
  if (!given("--model")) throw CLI::RequiredError("--model (or --policy)");
}

void AddModelFlags(CLI::App& app, ModelSettings& model) {
  auto* folder =
      app.add_option("--model", model.folder, "folder of a Phi model in Hugging Face format");
  if (model.folder.empty()) folder->required();
  app.add_option("--adapter", model.adapter,
                 "folder of a LoRA adapter (PEFT), which is merged into the model's weights")
      ->check(CLI::ExistingDirectory);
  app.add_option("--device", model.device,
                 "device to run on: auto (a GPU if there is one), cpu, cuda or cuda:N")
      ->capture_default_str();
  app.add_option("--dtype", model.dtype, "type of the weights in memory")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}))
      ->capture_default_str();
  app.add_option("--prompt-format", model.prompt_format,
                 "how a question becomes a prompt; auto: by the folder's chat template, or without "
                 "one by the tokenizer's special tokens")
      ->check(CLI::IsMember(data::PromptFormatNames()))
      ->capture_default_str();
}

void AddSystemFlag(CLI::App& app, ModelSettings& model) {
  app.add_option("--system", model.system,
                 "system message before every question; some prompt formats have no place for it");
}

void AddProblemFlags(CLI::App& app, ProblemSettings& problems) {
  app.add_option(
         "--problems", problems.file,
         "problem file: one JSON object per line, CSV (*.csv), both also compressed by gzip "
         "or zstd; or Parquet, which Python's pyarrow reads")
      ->required();
  app.add_option("--dataset", problems.options.dataset,
                 "the well-known data set that --problems holds, as the Hugging Face Hub has it; "
                 "chooses the oracle and the keys that are not given")
      ->check(CLI::IsMember(DatasetNames()));
  app.add_option("--oracle", problems.oracle, kOracleHelp)->capture_default_str();
  AddOracleFlags(app, problems.oracle_options);
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
}

void UseDataset(const CLI::App& app, ProblemSettings& problems) {
  if (problems.options.dataset.empty()) return;
  const ProblemSettings asked = problems;
  experiments::UseDataset(asked.options.dataset, problems);
  const auto given = [&](const std::string& name) {
    const CLI::Option* option = app.get_option_no_throw(name);
    return option != nullptr && !option->empty();
  };
  if (given("--oracle") || given("--eval-oracle")) problems.oracle = asked.oracle;
  if (given("--id-key")) problems.options.id_key = asked.options.id_key;
  if (given("--question-key")) problems.options.question_key = asked.options.question_key;
  if (given("--answer-key")) problems.options.answer_key = asked.options.answer_key;
}

void AddOracleFlags(CLI::App& app, OracleOptions& options) {
  app.add_option("--oracle-timeout", options.timeout,
                 "seconds that the code and command oracles may take for one response; a program "
                 "that runs longer is wrong, a command that takes longer has failed")
      ->check(Interval("[0.1, 86400]"))
      ->capture_default_str();
  app.add_option("--oracle-memory", options.memory,
                 "MiB of memory that the code oracle may use for one response")
      ->check(CLI::Range(64, 1 << 20))
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
  constexpr int kMany = 1 << 20;
  auto& params = sampling.params;
  app.add_option("--temperature", params.temperature,
                 "sampling temperature; 0: always the most probable token")
      ->check(Interval("[0, 100]"))
      ->capture_default_str();
  app.add_option("--top-k", params.top_k, "sample from the k most probable tokens; 0: from all")
      ->check(CLI::Range(0, kMany))
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
      ->check(CLI::Range(1, kMany))
      ->capture_default_str();
  app.add_option(
         "--batch", sampling.batch,
         "number of rollouts that decode at once; 0: by the device, 256 on a CPU, on a GPU up to "
         "1024 as its memory allows")
      ->check(CLI::Range(0, 65536))
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
      ->check(CLI::IsMember(weights))
      ->capture_default_str();
  app.add_option("--seed", sampling.seed,
                 "seed of the random numbers; the same seed gives the same rollouts")
      ->capture_default_str();
}

void AddShardSizeFlag(CLI::App& app, int64_t& bytes) {
  app.add_option("--max-shard-size", bytes,
                 "split the weights into files of at most this size, e.g. 500MB")
      ->transform(CLI::AsSizeValue(true))
      ->check(CLI::PositiveNumber)
      ->default_str("5GB");
}

}  // namespace pivotal::cli
