// Apache-2.0. Searches a policy of one's own: a function from a prefix to next-token probabilities.
#include <pivotal/search.h>

#include <cstdio>

using namespace pivotal;

int main() {
  // Token 1 thinks, 2 hurries, 3 takes care, 4 is the right answer, 5 a wrong one, 0 ends.
  const std::vector<std::vector<std::pair<TokenId, double>>> next = {
      {},
      {{1, 0.5}, {2, 0.25}, {3, 0.25}},
      {{4, 0.1}, {5, 0.9}},
      {{4, 0.9}, {5, 0.1}},
      {{0, 1}},
      {{0, 1}}};
  const auto policy =
      PolicyOf([&](std::span<const TokenId> prefix) { return next[prefix.back()]; });
  const auto is_right = [](const Query&, std::span<const TokenId> response) {
    return response.size() > 1 && response[response.size() - 2] == 4;
  };
  const auto print = [](const std::vector<QueryTrace>& traces) {
    for (const ResponseTrace& response : traces[0].responses)
      for (const PivotalToken& token : response.pivotal)
        std::printf("token %d at %d: p(success) %.2f -> %.2f\n",
                    response.tokens[token.position - 1], token.position, token.before, token.after);
  };
  const std::vector<Query> queries = {{"walk", "Which way?", "right", {1}}};
  Progress quiet;
  Search(queries, *policy, is_right, SearchOptions{}, print, quiet);
}
