// Apache-2.0.
#include "experiments/tiny/tokenizer_training.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "data/base/error.h"
#include "data/base/file_sink.h"

namespace pivotal::tiny {
namespace {

class Texts : public sentencepiece::SentenceIterator {
 public:
  explicit Texts(const std::vector<std::string>& texts) : texts_(texts) {}
  bool done() const override { return next_ >= texts_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return texts_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& texts_;
  std::size_t next_ = 0;
};

using nlohmann::ordered_json;
namespace fs = std::filesystem;

// The template of Phi-4-mini-instruct (MIT licence).
constexpr std::string_view kChatTemplate =
    "{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and "
    "message['tools'] is not none %}{{ '<|' + message['role'] + '|>' + message['content'] + "
    "'<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}{% else %}{{ '<|' + message['role'] "
    "+ '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt "
    "%}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}";

// Returns every pair of pieces that join to a third, best result first: SentencePiece merges by the
// score of the result.
ordered_json Merges(const sentencepiece::SentencePieceProcessor& model) {
  std::map<std::string, int> ids;
  std::vector<int> by_score;
  for (int id = 0; id < model.GetPieceSize(); ++id) {
    if (model.IsControl(id) || model.IsUnknown(id) || model.IsByte(id)) continue;
    ids[model.IdToPiece(id)] = id;
    by_score.push_back(id);
  }
  std::ranges::stable_sort(by_score, std::greater(), [&](int id) { return model.GetScore(id); });
  ordered_json merges = ordered_json::array();
  for (int id : by_score) {
    const std::string& piece = model.IdToPiece(id);
    for (std::size_t cut = 1; cut < piece.size(); ++cut) {
      const std::string left = piece.substr(0, cut), right = piece.substr(cut);
      if (ids.contains(left) && ids.contains(right)) merges.push_back(left + " " + right);
    }
  }
  return merges;
}

using Options = std::unordered_map<std::string, std::string>;

std::string Train(const std::vector<std::string>& texts, int vocab_size, const Options& more) {
  Options options = {{"model_type", "bpe"},
                     {"vocab_size", std::to_string(vocab_size)},
                     {"byte_fallback", "true"},
                     {"split_digits", "true"},
                     {"normalization_rule_name", "identity"},
                     {"remove_extra_whitespaces", "false"},
                     {"num_threads", "1"},
                     {"minloglevel", "1"}};
  options.insert(more.begin(), more.end());
  std::string model;
  Texts iterator(texts);
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &iterator, &model);
  if (!status.ok()) Fail("sentencepiece: {}", status.ToString());
  return model;
}

// Returns the tokenizer as tokenizer.json in the form of Phi-3-mini's, or without the blank and the
// BOS before a text. transformers reads it without sentencepiece, and Pivotal prefers it.
ordered_json TokenizerJson(const std::string& serialized, bool begins) {
  sentencepiece::SentencePieceProcessor model;
  if (const auto status = model.LoadFromSerializedProto(serialized); !status.ok())
    Fail("sentencepiece: {}", status.ToString());
  ordered_json vocab = ordered_json::object(), added = ordered_json::array();
  for (int id = 0; id < model.GetPieceSize(); ++id) {
    vocab[model.IdToPiece(id)] = id;
    if (model.IsControl(id) || model.IsUnknown(id))
      added.push_back({{"id", id},
                       {"content", model.IdToPiece(id)},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", true}});
  }
  const std::string blank = "\u2581";
  ordered_json normalizer = {
      {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", blank}};
  ordered_json decoders = ordered_json::array(
      {{{"type", "Replace"}, {"pattern", {{"String", blank}}}, {"content", " "}},
       {{"type", "ByteFallback"}},
       {{"type", "Fuse"}}});
  if (begins) {
    normalizer = {{"type", "Sequence"},
                  {"normalizers",
                   ordered_json::array({{{"type", "Prepend"}, {"prepend", blank}}, normalizer})}};
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  const ordered_json a = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const ordered_json b = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
  const ordered_json bos = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  const ordered_json post_processor = {{"type", "TemplateProcessing"},
                                       {"single", ordered_json::array({bos, a})},
                                       {"pair", ordered_json::array({bos, a, b})},
                                       {"special_tokens",
                                        {{"<s>",
                                          {{"id", "<s>"},
                                           {"ids", ordered_json::array({1})},
                                           {"tokens", ordered_json::array({"<s>"})}}}}}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", normalizer},
          {"pre_tokenizer", nullptr},
          {"post_processor", begins ? post_processor : ordered_json()},
          {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", "<unk>"},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", true},
            {"byte_fallback", true},
            {"vocab", vocab},
            {"merges", Merges(model)}}}};
}

}  // namespace

void TrainTokenizer(const std::vector<std::string>& texts, int vocab_size, const fs::path& folder) {
  const std::string model = Train(texts, vocab_size, {{"pad_id", "3"}, {"pad_piece", "<pad>"}});
  data::WriteFile(folder / "tokenizer.model", model);
  data::WriteFile(folder / "tokenizer.json", TokenizerJson(model, true).dump(1) + "\n");
  const ordered_json tokenizer = {{"tokenizer_class", "LlamaTokenizer"},
                                  {"add_bos_token", true},
                                  {"add_eos_token", false},
                                  {"bos_token", "<s>"},
                                  {"eos_token", "</s>"},
                                  {"unk_token", "<unk>"},
                                  {"pad_token", "<pad>"},
                                  {"legacy", false},
                                  {"model_max_length", 256}};
  data::WriteFile(folder / "tokenizer_config.json", tokenizer.dump(2) + "\n");
  const ordered_json generation = {
      {"bos_token_id", 1}, {"eos_token_id", 2}, {"pad_token_id", 3}, {"do_sample", true}};
  data::WriteFile(folder / "generation_config.json", generation.dump(2) + "\n");
}

void TrainChatTokenizer(const std::vector<std::string>& texts, int vocab_size,
                        const fs::path& folder) {
  const std::string model =
      Train(texts, vocab_size,
            {{"add_dummy_prefix", "false"},
             {"bos_id", "-1"},
             {"eos_id", "1"},
             {"eos_piece", "<|endoftext|>"},
             {"control_symbols", "<|system|>,<|user|>,<|assistant|>,<|end|>"}});
  data::WriteFile(folder / "tokenizer.json", TokenizerJson(model, false).dump(1) + "\n");
  const ordered_json tokenizer = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                  {"add_bos_token", false},
                                  {"add_eos_token", false},
                                  {"bos_token", "<|endoftext|>"},
                                  {"eos_token", "<|endoftext|>"},
                                  {"pad_token", "<|endoftext|>"},
                                  {"unk_token", "<unk>"},
                                  {"clean_up_tokenization_spaces", false},
                                  {"model_max_length", 512}};
  data::WriteFile(folder / "tokenizer_config.json", tokenizer.dump(2) + "\n");
  data::WriteFile(folder / "chat_template.jinja", kChatTemplate);
  const ordered_json generation = {{"bos_token_id", 1},
                                   {"eos_token_id", ordered_json::array({5, 1})},
                                   {"pad_token_id", 1},
                                   {"do_sample", true}};
  data::WriteFile(folder / "generation_config.json", generation.dump(2) + "\n");
}

}  // namespace pivotal::tiny
