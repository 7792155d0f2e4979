// Apache-2.0.
#include "cli/flags.h"

#include <fmt/ranges.h>

#include <limits>

namespace pivotal::cli {

const char* const kOracleHelp =
    "who judges: numeric (the last number, with units), math (\\boxed{} and LaTeX), hash (\"#### n\"), "
    "last-number, exact, choice, regex:PATTERN, code (Python against the tests of the answer), "
    "command:PROGRAM";

const CLI::Validator kOpenUnitInterval(
    [](std::string& text) {
      double value = 0;
      if (!CLI::detail::lexical_cast(text, value) || !(value > 0 && value < 1))
        return text + " is not between 0 and 1 (both excluded)";
      return std::string();
    },
    "in (0, 1)");

void AddModelFlags(CLI::App& app, experiments::ModelSettings& model) {
  auto* folder = app.add_option("--model", model.folder, "Hugging Face folder of a Phi model");
  if (model.folder.empty()) folder->required();
  app.add_option("--adapter", model.adapter, "folder of a LoRA adapter for the model, as PEFT writes it")
      ->check(CLI::ExistingDirectory);
  app.add_option("--device", model.device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  app.add_option("--dtype", model.dtype, "type of the weights in memory")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}))->capture_default_str();
  app.add_option("--prompt-format", model.prompt_format,
                 "how a question becomes a prompt; auto: the folder's chat template, else by its tokens")
      ->check(CLI::IsMember(data::PromptFormatNames()))->capture_default_str();
}

void AddSystemFlag(CLI::App& app, experiments::ModelSettings& model) {
  app.add_option("--system", model.system,
                 "system message in front; not every --prompt-format has a place for it");
}

void AddProblemFlags(CLI::App& app, experiments::ProblemSettings& problems) {
  app.add_option("--problems", problems.file, "problem file, a JSON object per line")->required();
  app.add_option("--oracle", problems.oracle, kOracleHelp)->capture_default_str();
  AddOracleFlags(app, problems.oracle_options);
  app.add_option("--id-key", problems.options.id_key, "key of the id")->capture_default_str();
  app.add_option("--question-key", problems.options.question_key, "key of the question")
      ->capture_default_str();
  app.add_option("--answer-key", problems.options.answer_key, "key of the reference answer")
      ->capture_default_str();
  app.add_option("--limit", problems.options.limit, "use only the first N problems; 0: all")
      ->capture_default_str();
}

void AddOracleFlags(CLI::App& app, pts::OracleOptions& options) {
  app.add_option("--oracle-timeout", options.timeout,
                 "code, command: seconds for one response; beyond them it has failed")
      ->check(CLI::Range(0.1, 86'400.0))->capture_default_str();
  app.add_option("--oracle-memory", options.memory, "code: MiB for one response")
      ->check(CLI::Range(64, 1 << 20))->capture_default_str();
  app.add_flag("--allow-unsandboxed", options.allow_unsandboxed,
               "code: where bubblewrap cannot run, run model-written programs with your own rights");
}

void AddSamplingFlags(CLI::App& app, experiments::SamplingSettings& sampling) {
  constexpr int kMany = 1 << 20;
  auto& params = sampling.params;
  app.add_option("--temperature", params.temperature, "0: always the most probable token")
      ->check(CLI::Range(0.0, 100.0))->capture_default_str();
  app.add_option("--top-k", params.top_k, "keep the k most probable tokens; 0: all")
      ->check(CLI::Range(0, kMany))->capture_default_str();
  app.add_option("--top-p", params.top_p, "keep the smallest set of tokens with this probability")
      ->check(CLI::Range(std::numeric_limits<double>::min(), 1.0))->capture_default_str();
  app.add_option("--min-p", params.min_p, "drop tokens below this share of the top probability")
      ->check(CLI::Range(0.0, 0.999999))->capture_default_str();
  app.add_option("--max-new-tokens", sampling.max_new_tokens, "longest response")
      ->check(CLI::Range(1, kMany))->capture_default_str();
  app.add_option("--batch", sampling.batch, "rollouts that decode at once")
      ->check(CLI::Range(1, 65536))->capture_default_str();
  app.add_option("--kv-memory", sampling.kv_memory,
                 "for keys and values, e.g. 4GB; rollouts that find none wait; 0: half of what is free (GPU: four fifths)")
      ->transform(CLI::AsSizeValue(true))->default_str("0");
  auto weights = kernels::WeightTypeNames();
  weights.insert(weights.begin(), "auto");
  app.add_option("--stop", sampling.stop, "text that ends a response, beside the end of sequence; as often as wanted")
      ->allow_extra_args(false)->take_all();
  app.add_option("--weights", sampling.weights,
                 fmt::format("how they are stored for decoding on a CPU: auto (as --dtype), {}",
                             fmt::join(kernels::WeightTypeNames(), ", ")))
      ->check(CLI::IsMember(weights))->capture_default_str();
  app.add_option("--seed", sampling.seed, "same seed, same rollouts")->capture_default_str();
}

}  // namespace pivotal::cli
