// Apache-2.0. Model cards: the README.md of a model folder, as the Hugging Face Hub shows it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::experiments {

// The front matter of a card: what the Hub reads.
struct CardHead {
  std::filesystem::path base;              // folder of the model that was trained or merged
  bool adapter = false;                    // the card is of a LoRA adapter (library peft)
  std::vector<std::string> tags = {};      // beside those of every card
  std::vector<std::string> datasets = {};  // names
};

// Returns the front matter in YAML, with its lines of "---". The licence is that of the base
// model's own card, if it has one.
std::string CardHeadText(const CardHead& head);

// Return a name that says nothing of the machine. A model has its name on the Hub if its folder
// lies in the Hub's cache or its config.json tells one (`_name_or_path`), else its folder's name. A
// file has the name of its data set on the Hub if it lies in the cache, else its own.
std::string ModelName(const std::filesystem::path& folder);
std::string DataName(const std::filesystem::path& file);
// Returns the last part of a path; that of ".", too.
std::string BareName(const std::filesystem::path& path);

// Return any text as Markdown: as code in a sentence, as a cell of a table, as the cell's code, and
// as a block of code. Nothing in the text can end them.
std::string MarkdownCode(std::string_view text);
std::string MarkdownCell(std::string_view text);
std::string MarkdownCodeCell(std::string_view text);
std::string MarkdownBlock(std::string_view text, std::string_view language);
// Returns a name as plain words, on one line, that may stand in a heading, a sentence or a cell.
std::string MarkdownText(std::string_view name);

// Returns a table. Its cells are Markdown.
std::string MarkdownTable(const std::vector<std::string>& heads,
                          const std::vector<std::vector<std::string>>& rows);

}  // namespace pivotal::experiments
