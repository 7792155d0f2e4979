// Apache-2.0.
#include "experiments/report/hub_dataset.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "data/base/answers.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/json_input.h"
#include "data/base/parquet.h"
#include "data/base/temp_folder.h"
#include "data/traces/event_file.h"
#include "experiments/evaluate/model_card.h"
#include "experiments/search/run_config.h"
#include "experiments/search/run_exports.h"
#include "experiments/search/run_pairs.h"
#include "experiments/train/train_settings.h"
#include "pivotal/pairs.h"
#include "pivotal/version.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using Columns = std::vector<data::ParquetColumn>;

// One table of the data set: the rows of a configuration, as the Hub calls it.
struct HubTable {
  std::string name;
  std::string what;  // a row is this; Markdown
  Columns columns;
  int64_t rows = 0;
  int64_t bytes = 0;  // that Arrow needs for the rows
};

// The keys of pairs.jsonl.
const Columns& PairColumns() {
  static const Columns columns = {{"id", "string"},
                                  {"prompt", "string"},
                                  {"chosen", "string"},
                                  {"rejected", "string"},
                                  {"prompt_ids", "list<int32>"},
                                  {"chosen_ids", "list<int32>"},
                                  {"rejected_ids", "list<int32>"},
                                  {"chosen_samples", "int32"},
                                  {"chosen_successes", "int32"},
                                  {"rejected_samples", "int32"},
                                  {"rejected_successes", "int32"},
                                  {"chosen_low", "double"},
                                  {"chosen_high", "double"},
                                  {"rejected_low", "double"},
                                  {"rejected_high", "double"},
                                  {"delta", "double"},
                                  {"delta_low", "double"},
                                  {"delta_high", "double"},
                                  {"source", "string"}};
  return columns;
}

const Columns& TokenColumns() {
  static const Columns columns = {
      {"problem_id", "string"},   {"question", "string"},   {"answer", "string"},
      {"context", "string"},      {"token", "string"},      {"context_ids", "list<int32>"},
      {"prompt_tokens", "int32"}, {"token_id", "int32"},    {"logprob", "double"},
      {"p_before", "double"},     {"p_after", "double"},    {"delta", "double"},
      {"delta_low", "double"},    {"delta_high", "double"}, {"probability", "double"}};
  return columns;
}

std::string TokenLine(const data::PivotalEvent& event) {
  const nlohmann::ordered_json line = {
      {"problem_id", event.item_id},
      {"question", event.query},
      {"answer", data::AnswersText(event.answer, event.other_answers)},
      {"context", event.context},
      {"token", event.label},
      {"context_ids", event.prefix},
      {"prompt_tokens", event.prompt_tokens},
      {"token_id", event.token},
      {"logprob", event.logprob},
      {"p_before", event.before},
      {"p_after", event.after},
      {"delta", event.after - event.before},
      {"delta_low", event.pivotal.low},
      {"delta_high", event.pivotal.high},
      {"probability", event.pivotal.probability}};
  // Text may end inside a character, which U+FFFD replaces; the ids are exact.
  return data::JsonLine(line);
}

// Returns the type of a column as the Hub's cards write it.
std::string FeatureLine(const std::string& type) {
  if (type == "double") return "dtype: float64";
  if (type.starts_with("list<")) return "list: " + type.substr(5, type.size() - 6);
  return "dtype: " + type;
}

// The front matter names no licence: that of the problems and of the model decides, which the run
// does not know.
std::string HubHead(const std::vector<HubTable>& tables) {
  std::string text =
      "---\n"
      "# license: name one before you publish; mind that of the problems and that of the model\n"
      "task_categories:\n- text-generation\n"
      "tags:\n- pivotal\n- pivotal-token-search\n- preference\n- dpo\n"
      "configs:\n";
  for (const HubTable& table : tables)
    text += fmt::format(
        "- config_name: {0}\n{1}  data_files:\n  - split: train\n    path: data/{0}.parquet\n",
        table.name, &table == tables.data() ? "  default: true\n" : "");
  text += "dataset_info:\n";
  for (const HubTable& table : tables) {
    text += fmt::format("- config_name: {}\n  features:\n", table.name);
    for (const auto& [name, type] : table.columns)
      text += fmt::format("  - name: {}\n    {}\n", name, FeatureLine(type));
    text += fmt::format(
        "  splits:\n  - name: train\n    num_bytes: {}\n    num_examples: {}\n  dataset_size: {}\n",
        table.bytes, table.rows, table.bytes);
  }
  return text + "---\n";
}

// Returns the settings of the search without what only its machine knows.
std::string SettingsOfCard(RunConfig config) {
  if (!config.model.adapter.empty()) config.model.adapter = ModelName(config.model.adapter);
  if (!config.served.model.empty()) config.served.model = ModelName(config.served.model);
  config.problems.oracle = OracleName(config.problems.oracle);
  return SettingsText(config);
}

std::string HubCard(const std::vector<HubTable>& tables, const RunConfig& config,
                    const std::string& name) {
  const std::string model = ModelName(config.served.urls.empty() ? config.model.folder
                                                                 : fs::path(config.served.model)),
                    problems = DataName(config.problems.file);
  std::string text = HubHead(tables) + fmt::format("\n# {}\n", MarkdownCode(name));
  text += fmt::format(
      "Pivotal tokens of responses by {} to problems of {}, and preference pairs made of them. A "
      "token is pivotal if it changes the probability that a completion sampled by the model "
      "solves the problem. Found by [pivotal token search](https://arxiv.org/abs/2412.08905) with "
      "Pivotal {}.\n\n",
      MarkdownCode(model), MarkdownCode(problems), PIVOTAL_VERSION_STRING);
  std::vector<std::vector<std::string>> rows;
  for (const HubTable& table : tables)
    rows.push_back({MarkdownCodeCell(table.name), std::to_string(table.rows), table.what});
  text += MarkdownTable({"configuration", "rows", "a row"}, rows);
  text += "\n" + MarkdownBlock(
                     "from datasets import load_dataset\n\n"
                     "pairs = load_dataset(\"path/to/this/folder\", \"pairs\", split=\"train\")\n"
                     "pairs.push_to_hub(\"your-name/your-pairs\", \"pairs\")\n",
                     "python");
  text +=
      "\nToken ids are those of the model's tokenizer, and exact; a text that ends inside a "
      "character shows U+FFFD. TRL trains on `prompt`, `chosen` and `rejected`. The numbers of "
      "samples, successes and their 95% intervals are those of fresh rollouts, which the search "
      "had not seen.\n";
  text += "\n## Search\n" + MarkdownTable({"", ""}, {{"model", MarkdownCodeCell(model)},
                                                     {"problems", MarkdownCodeCell(problems)}});
  return text + "\n" + MarkdownBlock(SettingsOfCard(config), "toml");
}

// Throws Error if a folder holds something else than an export.
void RequireHubDataset(const fs::path& folder) {
  static constexpr std::array<std::string_view, 4> kParts = {
      "README.md", "data", "data/pairs.parquet", "data/pivotal_tokens.parquet"};
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; at != end; at.increment(error)) {
    const std::string part = at->path().lexically_relative(folder).string();
    if (std::ranges::find(kParts, part) == kParts.end())
      Fail("{}: is no export that --force could replace: it holds {}", folder.string(), part);
  }
  if (error) Fail("{}: {}", folder.string(), error.message());
}

// Makes the new export in a folder beside the old one, exchanges the two, and removes the old one:
// at each moment one of them is in its place.
HubDatasetSummary ReplaceHubDataset(const fs::path& run, const fs::path& output,
                                    double max_false_share) {
  const fs::path place = data::Absolute(output / ".").lexically_normal().parent_path();
  std::string pattern = (place.parent_path() / ("." + place.filename().string() + ".XXXXXX"));
  if (::mkdtemp(pattern.data()) == nullptr)
    Fail("{}: can't make a folder beside it: {}", output.string(), data::ErrnoText(errno));
  const fs::path aside = pattern, made = aside / place.filename();
  const auto remove_aside = [&] {
    std::error_code error;
    fs::remove_all(aside, error);
  };
  HubDatasetSummary summary;
  try {
    summary = ExportHubDataset(run, made, max_false_share);
    if (::renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, place.c_str(), RENAME_EXCHANGE) != 0)
      Fail("{}: can't be exchanged for the new export: {}; remove it, and export without --force",
           output.string(), data::ErrnoText(errno));
  } catch (...) {
    remove_aside();
    throw;
  }
  remove_aside();
  return summary;
}

}  // namespace

HubDatasetSummary ExportHubDataset(const fs::path& run, const fs::path& output,
                                   double max_false_share, bool replace) {
  if (replace && data::Exists(output)) {
    RequireHubDataset(output);
    return ReplaceHubDataset(run, output, max_false_share);
  }
  const RunConfig config = LoadRunConfig(run);
  data::OutputFolder folder(output);
  data::CreateFolders(output / "data");
  const data::TempFolder lines;

  PairOptions options;
  options.gap = config.search.gap;
  options.max_false_share = max_false_share;
  const auto pairs = PairsOfRun(run, options);
  SavePairs(lines.path() / "pairs", pairs);
  data::FileSink sink(lines.path() / "pivotal_tokens");
  const auto events = EventsOfRun(run, config, max_false_share);
  for (const data::PivotalEvent& event : events) sink.Write(TokenLine(event));
  sink.Commit();

  std::vector<HubTable> tables = {
      {"pairs", "a prompt that ends before a token, and two tokens of which `chosen` is better",
       PairColumns(), std::ssize(pairs)},
      {"pivotal_tokens", "a token of a response and p(success) before and after it", TokenColumns(),
       std::ssize(events)}};
  for (HubTable& table : tables)
    table.bytes = data::WriteParquet(lines.path() / table.name, table.columns,
                                     output / "data" / (table.name + ".parquet"));
  data::WriteFile(output / "README.md", HubCard(tables, config, BareName(output)));
  folder.Keep();
  return {std::ssize(pairs), std::ssize(events)};
}

}  // namespace pivotal::experiments
