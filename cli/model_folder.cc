// Apache-2.0. pivotal info, pivotal merge-adapter
#include "experiments/evaluate/model_folder.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "cli/checks.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"

namespace pivotal::cli {

void AddInfo(CLI::App& app) {
  struct Flags {
    std::filesystem::path folder;
    int64_t lora_rank = 16;
    bool json = false;
  };
  auto* sub = app.add_subcommand(
      "info",
      "Describe a model folder and the memory that it needs; weights, if there are any, are only "
      "checked for numbers that are not finite");
  auto flags = std::make_shared<Flags>();
  auto* model = sub->add_option("--model", flags->folder,
                                "folder of a Phi model in Hugging Face format, or its name on the "
                                "Hub; config.json is enough");
  model->required();
  FindOnHub(model, *sub, experiments::ModelPart::kConfig);
  sub->add_option("--lora-rank", flags->lora_rank,
                  "rank of the LoRA adapters whose memory is shown")
      ->check(Whole(1, 4096))
      ->capture_default_str();
  AddJsonFlag(*sub, flags->json);
  SetHelp(*sub,
          {"--model FOLDER [OPTIONS]",
           {"--model", "--lora-rank", "--json"},
           {{"describe a model and the memory that training it takes", "info --model phi-4-mini"},
            {"the same of a model in the Hub's cache, for programs",
             "info --model microsoft/phi-4 --json"}},
           "docs/models.md"});
  sub->callback([flags] {
    const auto description = experiments::DescribeModel(flags->folder, flags->lora_rank);
    if (flags->json)
      PrintResult(experiments::DescriptionJson(description));
    else
      PrintVisible(experiments::DescriptionText(description));
  });
}

void AddMergeAdapter(CLI::App& app) {
  struct Flags {
    ModelSettings model;
    std::filesystem::path output;
    int64_t max_shard_bytes = 5'000'000'000;
  };
  auto* sub = app.add_subcommand(
      "merge-adapter", "Write a model folder with a LoRA adapter added to the model's weights");
  auto flags = std::make_shared<Flags>();
  AddModelFlags(*sub, flags->model);
  sub->get_option("--adapter")->required();
  sub->remove_option(sub->get_option("--prompt-format"));  // no prompt is made
  sub->add_option("--output", flags->output, "model folder to make")
      ->type_name("FOLDER")
      ->required();
  AddShardSizeFlag(*sub, flags->max_shard_bytes);
  SetHelp(*sub, {"--model FOLDER --adapter FOLDER --output FOLDER",
                 {"--model", "--adapter", "--output", "--dtype", "--max-shard-size"},
                 {{"write a whole model that other programs load",
                   "merge-adapter --model phi-4-mini --adapter tuned --output merged"},
                  {"write it in 16 bits, in files of at most 2 GB",
                   "merge-adapter --model phi-4-mini --adapter tuned --dtype bfloat16 "
                   "--max-shard-size 2GB --output merged"}},
                 "docs/models.md"});
  sub->callback([flags] {
    experiments::SaveMergedModel(flags->model, flags->output, flags->max_shard_bytes);
    fmt::print("model in {}\n", flags->output.string());
  });
}

}  // namespace pivotal::cli
