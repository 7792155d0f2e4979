// Apache-2.0. pivotal generate
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "cli/console.h"
#include "cli/flags.h"
#include "experiments/run_config.h"
#include "kernels/philox.h"

namespace pivotal::cli {
namespace {

struct Flags {
  experiments::ModelSettings model;
  experiments::SamplingSettings sampling;
  std::string prompt;
};

// Length of the longest prefix of `text` that does not end inside a UTF-8 character.
std::size_t WholeCharacters(std::string_view text) {
  std::size_t end = text.size();
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    const std::size_t need = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    if (need > back) end = text.size() - back;
    break;
  }
  return end;
}

void Run(const Flags& flags) {
  const auto model = experiments::LoadModel(flags.model);
  std::vector<TokenId> tokens;
  std::size_t printed = 0;
  auto options = experiments::EngineOptionsOf(flags.sampling);
  options.batch = 1;
  options.on_token = [&](int32_t, int32_t, TokenId token) {
    tokens.push_back(token);
    const std::string text = model.tokenizer().Decode(tokens);
    const std::size_t whole = WholeCharacters(text);
    fmt::print("{}", std::string_view(text).substr(printed, whole - printed));
    std::fflush(stdout);
    printed = whole;
  };
  model::RolloutEngine engine(model.phi(), options);
  const model::RolloutRequest request{
      data::EncodePrompt(model.tokenizer(), model.prompt_format, flags.prompt), 1,
      flags.sampling.max_new_tokens, kernels::MixStream(0, "generate"), 0};
  engine.Sample({&request, 1}, ConsoleProgress());
  fmt::print("\n");
}

}  // namespace

void AddGenerate(CLI::App& app) {
  auto* sub = app.add_subcommand("generate", "Answer one prompt, streamed");
  auto flags = std::make_shared<Flags>();
  AddModelFlags(*sub, flags->model);
  sub->add_option("prompt", flags->prompt, "the question; see --prompt-format")->required();
  AddSamplingFlags(*sub, flags->sampling);
  sub->callback([flags] { Run(*flags); });
}

}  // namespace pivotal::cli
