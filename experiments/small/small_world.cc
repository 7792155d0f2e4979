// Apache-2.0. The program small_world: makes the problems, the corpus, the tokenizer and the first
// weights of the small model.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "experiments/small/world.h"
#include "experiments/tiny/tokenizer_training.h"
#include "model/checkpoint.h"
#include "model/config_file.h"
#include "pivotal/problem.h"

namespace {

using namespace pivotal;
using small::Draw;
namespace fs = std::filesystem;

constexpr uint64_t kProblemSeed = 1;  // fixed: every corpus leaves out the shipped problems

struct Flags {
  fs::path model, output;
  uint64_t seed = 1;
  int64_t documents = 90000;
  int vocab_size = 1024;
};

struct ProblemFile {
  const char* name;
  Draw draw;
  int count;
};
constexpr ProblemFile kFiles[] = {{"train", Draw::kUsual, 2000},
                                  {"heldout", Draw::kUsual, 500},
                                  {"wording", Draw::kWording, 300},
                                  {"larger", Draw::kLarger, 300},
                                  {"longer", Draw::kLonger, 300},
                                  {"combination", Draw::kCombination, 300},
                                  {"unanswerable", Draw::kUnanswerable, 300}};

// Calls f(file, problems) for each file; returns the keys of all problems.
template <typename F>
std::set<std::string> ForEachFile(F&& f) {
  std::set<std::string> taken;
  for (const ProblemFile& file : kFiles)
    f(file, small::MakeProblems(file.draw, file.name, file.count, kProblemSeed, taken));
  return taken;
}

void WriteProblems(const Flags& flags) {
  // shifted.jsonl has the first problems of each set that the corpus is unlike. Every fourth
  // problem of refusing.jsonl is one of the last without an answer, the others are the first of
  // train.jsonl.
  constexpr std::size_t kOfEach = 100;
  std::map<std::string, std::vector<Problem>> sets;
  std::vector<Problem> shifted, refusing;
  data::CreateFolders(flags.output);
  ForEachFile([&](const ProblemFile& file, const std::vector<small::SmallProblem>& problems) {
    std::vector<Problem> lines;
    for (const auto& p : problems)
      lines.push_back(
          {p.id, p.question, p.missing.empty() ? std::to_string(p.answer) : small::kRefusal});
    SaveProblems(flags.output / fmt::format("{}.jsonl", file.name), lines);
    if (file.draw != Draw::kUsual && file.draw != Draw::kUnanswerable)
      shifted.insert(shifted.end(), lines.begin(), lines.begin() + kOfEach);
    sets[file.name] = std::move(lines);
  });
  SaveProblems(flags.output / "shifted.jsonl", shifted);
  for (std::size_t i = 0; i < kOfEach; ++i) {
    for (std::size_t j = 0; j < 3; ++j) refusing.push_back(sets["train"][3 * i + j]);
    refusing.push_back(*(sets["unanswerable"].end() - kOfEach + i));
  }
  SaveProblems(flags.output / "refusing.jsonl", refusing);
}

template <typename F>
void ForEachDocument(const Flags& flags, int64_t count, F&& f) {
  const auto excluded = ForEachFile([](const ProblemFile&, const auto&) {});
  kernels::RandomStream random(flags.seed, kernels::MixStream(0, "corpus"));
  for (int64_t i = 0; i < count; ++i) f(small::RandomDocument(excluded, random));
}

void WriteCorpus(const Flags& flags) {
  using nlohmann::ordered_json;
  const auto message = [](const char* role, const std::string& content) {
    return ordered_json{{"role", role}, {"content", content}};
  };
  data::FileSink file(flags.output);
  ForEachDocument(flags, flags.documents, [&](const small::Document& document) {
    ordered_json prompt = ordered_json::array();
    if (!document.system.empty()) prompt.push_back(message("system", document.system));
    prompt.push_back(message("user", document.question));
    const ordered_json completion = ordered_json::array({message("assistant", document.response)});
    file.Write(ordered_json{{"prompt", prompt}, {"completion", completion}}.dump() + "\n");
  });
  file.Commit();
}

// Prints how often authors are right, by kind and way, on problems that have an answer.
void PrintAuthors(const Flags& flags) {
  constexpr std::array kKinds = {"story", "percent, units", "comparison",
                                 "row",   "equation",       "program"};
  struct Count {
    int all = 0, right = 0;
  };
  std::map<std::pair<std::string, std::string>, Count> counts;
  kernels::RandomStream random(flags.seed, kernels::MixStream(0, "authors"));
  for (int64_t i = 0; i < flags.documents; ++i) {
    const auto problem = small::RandomProblem(Draw::kUsual, random);
    const auto solution = small::Solve(problem, small::Manner::kFree, {}, random);
    const bool right = solution.answer == std::to_string(problem.answer);
    const std::string kind = kKinds[static_cast<std::size_t>(problem.kind)];
    for (const auto& key :
         {std::pair{kind, solution.way},
          {kind, std::string("all ways")},
          {std::string("all kinds"), std::string("all ways")},
          {std::string("all kinds"), std::string(solution.trapped ? "misread" : "read well")},
          {std::string("all kinds"), std::string(solution.checked ? "checked" : "not checked")}}) {
      ++counts[key].all;
      counts[key].right += right;
    }
  }
  fmt::print("| kind | way | share of all | right |\n|---|---|---|---|\n");
  for (const auto& [key, count] : counts)
    fmt::print("| {} | {} | {:.1f}% | {:.1f}% |\n", key.first, key.second,
               100.0 * count.all / static_cast<double>(flags.documents),
               100.0 * count.right / count.all);
}

// Writes the tokenizer and random weights as a folder in the files of Hugging Face.
void WriteFirstModel(const Flags& flags) {
  data::CreateOutputFolder(flags.output);
  std::vector<std::string> texts;
  ForEachDocument(flags, 20000, [&](const small::Document& document) {
    texts.push_back(document.question);
    texts.push_back(document.response);
    if (!document.system.empty()) texts.push_back(document.system);
  });
  tiny::TrainChatTokenizer(texts, flags.vocab_size, flags.output);
  model::PhiConfig config;
  config.vocab_size = flags.vocab_size;
  config.hidden_size = 256;
  config.intermediate_size = 704;
  config.num_hidden_layers = 7;
  config.num_attention_heads = 8;
  config.num_key_value_heads = 4;
  config.head_dim = 32;
  config.max_position_embeddings = 512;
  config.initializer_range = 0.04;  // a narrow model learns faster from wider weights
  config.bos_token_id = 1;
  config.eos_token_ids = {5, 1};
  config.pad_token_id = 1;
  model::SavePhiConfig(config, flags.output);
  model::SaveWeights(*model::RandomModel(config, flags.seed), flags.output);
  fmt::print("{} parameters in {}\n", model::NumParameters(config), flags.output.string());
}

// Writes a trained model with its weights in bfloat16, which take half the room.
void StoreModel(const Flags& flags) {
  const auto trained = model::LoadCheckpoint(flags.model, at::kCPU, at::kBFloat16);
  data::CreateOutputFolder(flags.output);
  model::SaveCheckpoint(*trained.model, flags.model, flags.output);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Makes the small model's problems, corpus and first weights", "small_world");
  app.require_subcommand(1);
  Flags flags;
  const auto add = [&](const char* name, const char* help, void (*run)(const Flags&)) {
    auto* sub = app.add_subcommand(name, help);
    if (run != PrintAuthors) sub->add_option("--output", flags.output)->required();
    if (run == WriteCorpus || run == PrintAuthors || run == WriteFirstModel)
      sub->add_option("--seed", flags.seed)->check(CLI::Range(1, 1 << 30))->capture_default_str();
    if (run == WriteCorpus || run == PrintAuthors)
      sub->add_option("--documents", flags.documents)
          ->check(CLI::Range(1, 1 << 30))
          ->capture_default_str();
    sub->callback([&flags, run] { run(flags); });
    return sub;
  };
  add("problems", "Write the problem files into the folder --output", WriteProblems);
  add("corpus", "Write training documents as JSON lines of messages into the file --output",
      WriteCorpus);
  add("authors", "Print how often the authors of the corpus are right", PrintAuthors);
  add("init", "Write the tokenizer and random weights as a model folder", WriteFirstModel)
      ->add_option("--vocab-size", flags.vocab_size)
      ->check(CLI::Range(512, 8192))
      ->capture_default_str();
  add("store", "Write the model in the folder --model with its weights in bfloat16", StoreModel)
      ->add_option("--model", flags.model)
      ->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "small_world: {}\n", error.what());
    return 1;
  }
}
