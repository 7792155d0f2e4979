// Apache-2.0.
#include "cli/patient_threads.h"

#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "data/base/error.h"
#include "data/base/file_sink.h"

namespace pivotal::cli {
namespace {

// Returns the words of this process's command line; {} if they cannot be read.
std::vector<std::string> Arguments() {
  std::vector<std::string> words;
  std::string text;
  try {
    text = data::ReadFile("/proc/self/cmdline");
  } catch (const Error&) {
    return {};
  }
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\0', at);
    words.push_back(text.substr(at, end - at));
    at = end == std::string::npos ? text.size() : end + 1;
  }
  return words;
}

}  // namespace

void UsePatientThreads() {
  constexpr const char* kPolicy = "OMP_WAIT_POLICY";
  const char* const threads = std::getenv("OMP_NUM_THREADS");
  const bool one = threads != nullptr && std::string_view(threads) == "1";
  if (one || std::getenv(kPolicy) != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  auto words = Arguments();
  if (words.empty() || setenv(kPolicy, "passive", 0) != 0) return;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execv("/proc/self/exe", arguments.data());
  unsetenv(kPolicy);  // it was not possible
}

}  // namespace pivotal::cli
