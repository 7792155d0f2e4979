// Apache-2.0. Trains a Phi model on a pair file by DPO.
//   train MODEL_FOLDER PAIRS.jsonl OUTPUT_FOLDER
#include <pivotal/training.h>

#include <cstdio>

using namespace pivotal;

// Prints a line for each phase and step.
class Lines : public Progress {
 public:
  void Update(int64_t done, std::string_view detail) override {
    std::printf("%lld: %.*s\n", static_cast<long long>(done), static_cast<int>(detail.size()),
                detail.data());
  }
};

int main(int argc, char** argv) try {
  if (argc != 4) throw Error("usage: train MODEL_FOLDER PAIRS.jsonl OUTPUT_FOLDER");
  TrainSettings settings;
  settings.model.folder = argv[1];
  settings.data = argv[2];
  settings.loss.rpo_alpha = 0.3;
  settings.options.optimizer.learning_rate = 2e-4;
  settings.options.epochs = 2;
  Lines progress;
  const TrainResult result = Train(settings, argv[3], progress);
  std::printf("%d steps, loss %.3f, model in %s\n", static_cast<int>(result.last.step),
              result.last.loss, argv[3]);
} catch (const std::exception& error) {
  std::fprintf(stderr, "train: %s\n", error.what());
  return 1;
}
