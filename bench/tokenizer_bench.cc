// Apache-2.0. Measures the time to encode all texts of a file, for tokenizer_vs_tokenizers.py.
//
//   tokenizer_bench FOLDER TEXTS.jsonl REPEATS
//
// FOLDER has the tokenizer. TEXTS.jsonl has lines {"text": "..."}. Prints the number of tokens,
// then the seconds of each repeat. Each repeat runs on one new thread, so that it does not find
// words in the cache of the repeat before.
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/base/json_input.h"
#include "pivotal/tokenizer.h"

namespace {

// Encodes all texts and returns the seconds. Sets `tokens` to the number of tokens.
double Seconds(const pivotal::Tokenizer& tokenizer, const std::vector<std::string>& texts,
               std::size_t& tokens) {
  tokens = 0;
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& text : texts) tokens += tokenizer.Encode(text).size();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto tokenizer = pivotal::LoadTokenizer(argv[1]);
  std::vector<std::string> texts;
  pivotal::data::JsonLineReader reader(argv[2]);
  for (nlohmann::json line; reader.Next(line);) texts.push_back(line["text"]);
  for (int repeat = 0; repeat < std::stoi(argv[3]); ++repeat) {
    std::size_t tokens = 0;
    double seconds = 0;
    std::thread([&] { seconds = Seconds(*tokenizer, texts, tokens); }).join();
    if (repeat == 0) fmt::print("{}\n", tokens);
    fmt::print("{:.6f}\n", seconds);
  }
}
