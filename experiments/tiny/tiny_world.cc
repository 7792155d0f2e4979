// Apache-2.0. The program tiny_world: makes the problems, the corpus, the tokenizer and the first
// weights of the tiny model.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/template/prompt_format.h"
#include "experiments/tiny/tokenizer_training.h"
#include "experiments/tiny/world.h"
#include "model/checkpoint.h"
#include "model/config_file.h"
#include "pivotal/problem.h"

namespace {

using namespace pivotal;
namespace fs = std::filesystem;

constexpr int kTrainProblems = 1000, kHeldoutProblems = 500, kShiftedProblems = 300,
              kMixedProblems = 100;
constexpr uint64_t kProblemSeed = 1;  // fixed: every corpus leaves out the shipped problems

struct Flags {
  fs::path output;
  uint64_t seed = 1;
  int64_t documents = 90000;
  int vocab_size = 768;
};

std::vector<Problem> ToProblems(const std::vector<tiny::TinyProblem>& problems) {
  std::vector<Problem> result;
  for (const auto& p : problems) result.push_back({p.id, p.question, p.answer});
  return result;
}

void WriteProblems(const Flags& flags) {
  data::CreateFolders(flags.output);
  const auto files = tiny::MakeProblems(kTrainProblems, kHeldoutProblems, kProblemSeed);
  SaveProblems(flags.output / "train.jsonl", ToProblems(files.train));
  SaveProblems(flags.output / "heldout.jsonl", ToProblems(files.heldout));
}

void WriteShifted(const Flags& flags) {
  data::CreateFolders(flags.output);
  for (const auto& [shift, name] : {std::pair{tiny::Shift::kWording, "wording.jsonl"},
                                    std::pair{tiny::Shift::kLarger, "larger.jsonl"},
                                    std::pair{tiny::Shift::kLonger, "longer.jsonl"}})
    SaveProblems(flags.output / name,
                 ToProblems(tiny::MakeShiftedProblems(shift, kShiftedProblems, kProblemSeed)));
  // mixed.jsonl alternates problems of train.jsonl with larger ones that are not in larger.jsonl.
  const auto known = tiny::MakeProblems(kTrainProblems, kHeldoutProblems, kProblemSeed).train;
  const auto larger = tiny::MakeShiftedProblems(tiny::Shift::kLarger,
                                                kShiftedProblems + kMixedProblems, kProblemSeed);
  std::vector<tiny::TinyProblem> mixed;
  for (int i = 0; i < kMixedProblems; ++i) {
    mixed.push_back(known[i]);
    mixed.push_back(larger[kShiftedProblems + i]);
  }
  SaveProblems(flags.output / "mixed.jsonl", ToProblems(mixed));
}

// Calls f(prompt, completion) for each document of the corpus; the prompt is as the model sees it.
template <typename F>
void ForEachDocument(const Flags& flags, int64_t count, F&& f) {
  std::set<tiny::Arithmetic> excluded;
  const auto files = tiny::MakeProblems(kTrainProblems, kHeldoutProblems, kProblemSeed);
  for (const auto* list : {&files.train, &files.heldout})
    for (const auto& problem : *list) excluded.insert(problem.arithmetic);
  kernels::RandomStream random(flags.seed, kernels::MixStream(0, "corpus"));
  for (int64_t i = 0; i < count; ++i) {
    const auto document = tiny::RandomDocument({}, excluded, random);
    f(document.question.empty() ? std::string()
                                : data::FormatPrompt(data::PromptFormat::kPlain, document.question),
      document.completion);
  }
}

void WriteCorpus(const Flags& flags) {
  data::FileSink file(flags.output);
  ForEachDocument(
      flags, flags.documents, [&](const std::string& prompt, const std::string& completion) {
        file.Write(nlohmann::ordered_json{{"prompt", prompt}, {"completion", completion}}.dump() +
                   "\n");
      });
  file.Commit();
}

// Writes the tokenizer and random weights as a folder in the files of Hugging Face.
void WriteFirstModel(const Flags& flags) {
  data::CreateOutputFolder(flags.output);
  std::vector<std::string> texts;
  ForEachDocument(flags, 20000, [&](const std::string& prompt, const std::string& completion) {
    texts.push_back(prompt + completion);
  });
  tiny::TrainTokenizer(texts, flags.vocab_size, flags.output);
  model::PhiConfig config;
  config.vocab_size = flags.vocab_size;
  config.hidden_size = 128;
  config.intermediate_size = 256;
  config.num_hidden_layers = 6;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.max_position_embeddings = 256;
  config.initializer_range = 0.06;  // a narrow model learns faster from wider weights
  config.bos_token_id = 1;
  config.eos_token_ids = {2};
  config.pad_token_id = 3;
  config.head_dim = 32;
  model::SavePhiConfig(config, flags.output);
  model::SaveWeights(*model::RandomModel(config, flags.seed), flags.output);
  fmt::print("{} parameters in {}\n", model::NumParameters(config), flags.output.string());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Makes the tiny model's problems, corpus and first weights", "tiny_world");
  app.require_subcommand(1);
  Flags flags;
  const auto add = [&](const char* name, const char* help, void (*run)(const Flags&)) {
    auto* sub = app.add_subcommand(name, help);
    sub->add_option("--output", flags.output)->required();
    sub->add_option("--seed", flags.seed)->capture_default_str();
    sub->callback([&flags, run] { run(flags); });
    return sub;
  };
  add("problems", "Write train.jsonl and heldout.jsonl into the folder --output", WriteProblems);
  add("shifted",
      "Write wording.jsonl, larger.jsonl, longer.jsonl and mixed.jsonl into the folder --output",
      WriteShifted);
  add("corpus",
      "Write training documents as JSON lines with prompt and completion into the file --output",
      WriteCorpus)
      ->add_option("--documents", flags.documents)
      ->capture_default_str();
  add("init", "Write the tokenizer and random weights as a model folder", WriteFirstModel)
      ->add_option("--vocab-size", flags.vocab_size)
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "tiny_world: {}\n", error.what());
    return 1;
  }
}
