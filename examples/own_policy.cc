// Apache-2.0. Searches a policy of one's own: a function from a prefix to next-token probabilities.
#include <pivotal/search.h>

#include <algorithm>
#include <cstdio>

using namespace pivotal;

int main() {
  // Token 1 thinks, 2 hurries, 3 takes care, 4 is the right answer, 5 a wrong one, 0 ends.
  const auto policy = PolicyOf([](std::span<const TokenId> prefix) -> TokenChoices {
    if (prefix.back() == 1) return {{1, 0.5}, {2, 0.25}, {3, 0.25}};
    if (prefix.back() == 2) return {{4, 0.1}, {5, 0.9}};
    if (prefix.back() == 3) return {{4, 0.9}, {5, 0.1}};
    return {{0, 1}};
  });
  const auto is_right = [](auto&, auto response) { return std::ranges::count(response, 4) > 0; };
  const auto print = [](const std::vector<QueryTrace>& traces) {
    for (const ResponseTrace& response : traces[0].responses)
      for (const PivotalToken& token : response.pivotal)
        std::printf("token %d at %d: p(success) %.2f -> %.2f\n",
                    response.tokens[token.position - 1], token.position, token.before, token.after);
  };
  const Query query = {"walk", "Which way?", "right", {1}};
  Progress quiet;
  Search({&query, 1}, *policy, is_right, {}, print, quiet);
}
