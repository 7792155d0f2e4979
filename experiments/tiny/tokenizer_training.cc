// Apache-2.0.
#include "experiments/tiny/tokenizer_training.h"

#include <sentencepiece_trainer.h>

#include <nlohmann/json.hpp>
#include <unordered_map>

#include "data/error.h"
#include "data/file_sink.h"

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

void WriteText(const std::filesystem::path& path, std::string_view text) {
  data::FileSink file(path);
  file.Write(text);
  file.Commit();
}

}  // namespace

void TrainTokenizer(const std::vector<std::string>& texts, int vocab_size,
                    const std::filesystem::path& folder) {
  const std::unordered_map<std::string, std::string> options = {
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(vocab_size)},
      {"byte_fallback", "true"},
      {"split_digits", "true"},
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"pad_id", "3"},
      {"pad_piece", "<pad>"},
      {"num_threads", "1"},
      {"minloglevel", "1"}};
  std::string model;
  Texts iterator(texts);
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &iterator, &model);
  if (!status.ok()) Fail("sentencepiece: {}", status.ToString());
  WriteText(folder / "tokenizer.model", model);
  const nlohmann::ordered_json tokenizer = {{"tokenizer_class", "LlamaTokenizer"},
                                            {"add_bos_token", true},
                                            {"add_eos_token", false},
                                            {"bos_token", "<s>"},
                                            {"eos_token", "</s>"},
                                            {"unk_token", "<unk>"},
                                            {"pad_token", "<pad>"},
                                            {"legacy", false},
                                            {"model_max_length", 256}};
  WriteText(folder / "tokenizer_config.json", tokenizer.dump(2) + "\n");
  const nlohmann::ordered_json generation = {
      {"bos_token_id", 1}, {"eos_token_id", 2}, {"pad_token_id", 3}, {"do_sample", true}};
  WriteText(folder / "generation_config.json", generation.dump(2) + "\n");
}

}  // namespace pivotal::tiny
