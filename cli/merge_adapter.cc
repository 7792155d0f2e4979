// Apache-2.0. pivotal merge-adapter
#include <fmt/format.h>

#include <memory>

#include "cli/flags.h"
#include "data/file_sink.h"

namespace pivotal::cli {
namespace {

struct Flags {
  experiments::ModelSettings model;
  std::filesystem::path output;
  int64_t max_shard_bytes = model::kDefaultShardBytes;
};

void Run(const Flags& flags) {
  const auto merged = experiments::LoadModel(flags.model);
  data::CreateOutputFolder(flags.output);
  model::SaveCheckpoint(merged.phi(), flags.model.folder, flags.output, flags.max_shard_bytes);
  fmt::print("model in {}\n", flags.output.string());
}

}  // namespace

void AddMergeAdapter(CLI::App& app) {
  auto* sub = app.add_subcommand("merge-adapter", "Write a model folder with a LoRA adapter added to the weights");
  auto flags = std::make_shared<Flags>();
  AddModelFlags(*sub, flags->model);
  sub->get_option("--adapter")->required();
  sub->remove_option(sub->get_option("--prompt-format"));  // no prompt is made
  sub->add_option("--output", flags->output, "model folder to make")->required();
  sub->add_option("--max-shard-size", flags->max_shard_bytes,
                  "split the weights into files of at most this size, e.g. 500MB")
      ->transform(CLI::AsSizeValue(true))->check(CLI::PositiveNumber)
      ->default_str("5GB");
  sub->callback([flags] { Run(*flags); });
}

}  // namespace pivotal::cli
