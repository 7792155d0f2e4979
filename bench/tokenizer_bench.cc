// Apache-2.0. Seconds to encode each text of a file, for tokenizer_vs_tokenizers.py.
//
// usage: tokenizer_bench FOLDER TEXTS.jsonl REPEATS    (TEXTS: {"text": "..."} lines)
// Prints the tokens, then the seconds of each repeat; all on one thread. A new thread each time, so
// that no repeat profits from the words that the one before it has seen.
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/json_input.h"
#include "data/tokenizer.h"

namespace {

using pivotal::data::Tokenizer;

double Seconds(const Tokenizer& tokenizer, const std::vector<std::string>& texts,
               std::size_t& tokens) {
  tokens = 0;
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& text : texts) tokens += tokenizer.Encode(text).size();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto tokenizer = pivotal::data::LoadTokenizer(argv[1]);
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
