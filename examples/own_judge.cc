// Apache-2.0. Searches a Phi model with a judge of one's own and saves the pairs.
//   own_judge MODEL_FOLDER PROBLEMS.jsonl PAIRS.jsonl
#include <pivotal/pivotal.h>

#include <cstdio>

using namespace pivotal;

int main(int argc, char** argv) try {
  if (argc != 4) throw Error("usage: own_judge MODEL_FOLDER PROBLEMS.jsonl PAIRS.jsonl");
  const Model model = Model::Load({.folder = argv[1]});
  const auto problems = LoadProblems(argv[2], {.limit = 8});

  // A response is right if it ends with the answer and took no detour: at most 60 tokens.
  const Judge judge = [&](const Query& query, std::span<const TokenId> response) {
    return response.size() <= 60 &&
           model.tokenizer().Decode(response).ends_with("#### " + query.answer);
  };
  SearchOptions options;
  options.max_new_tokens = 64;
  std::vector<PreferencePair> pairs;
  const TraceSink collect = [&](std::vector<QueryTrace> traces) {
    const auto found = BuildPairs(traces, model.tokenizer(), {});
    pairs.insert(pairs.end(), found.begin(), found.end());
  };
  const auto policy = model.MakePolicy({});
  Progress quiet;
  const SearchSummary summary = Search(model.Queries(problems, options.max_new_tokens), *policy,
                                       judge, options, collect, quiet);
  SavePairs(argv[3], pairs);
  std::printf("%d pivotal tokens, %d pairs\n", static_cast<int>(summary.pivotal),
              static_cast<int>(pairs.size()));
} catch (const std::exception& error) {
  std::fprintf(stderr, "own_judge: %s\n", error.what());
  return 1;
}
