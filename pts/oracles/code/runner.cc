// Apache-2.0.
#include "pts/oracles/code/runner.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/base/error.h"
#include "data/base/subprocess.h"
#include "pts/oracles/code/process_tree.h"

namespace pivotal::pts {
namespace {

// The Python program that runs a response and its tests. It reads one JSON object from stdin:
//   limits     {"RLIMIT_AS": n, ...}: limits of itself and all that it starts; a lower limit that
//              the host has set stays
//   context    text that runs first, in the module of the solution and in the scope of the tests;
//              left out if it is not Python
//   solutions  readings of the program of the response; the first that compiles runs, in a
//              module of its own
//   take       names that the tests see of the solution; null: all names, except those that hide a
//              builtin and are not in `defines`
//   defines    see `take`
//   tests      texts that run one after the other in the scope of the tests
//   secret     text that is written to descriptor 3 when the last test has ended
// and writes "R" to descriptor 3 once it has read the object and set the limits.
//
// A response must not pass by leaving early (sys.exit, os._exit), so only the secret counts. While
// the response runs, no frame has the secret in a variable, stdin is empty, and the functions that
// could list it or step into the tests (gc's lists, tracing) are refused. The tests have a scope
// and builtins of their own, so a response that redefines `abs` or `check` does not change them.
// All of this is one process: a program that is written against this harness (reads its own memory,
// patches modules that the tests use, returns objects that equal everything) can pass without
// solving anything.
inline constexpr char kCodeHarness[] = R"py(
import builtins, json, os, resource, sys
from collections import deque

def refuse(event, args, refused=frozenset((
    "gc.get_objects", "gc.get_referrers", "gc.get_referents",
    "sys.settrace", "sys.setprofile", "sys.addaudithook", "sys._current_frames"))):
    if event in refused:
        raise RuntimeError(event + " is refused here")

TAKE = """
if take is None:
    tests.update((name, value) for name, value in solution.items()
                 if not name.startswith("__") and (name in defines or name not in builtin_names))
else:
    tests.update((name, solution[name]) for name in take)
"""

def steps(job):
    module = type(sys)("solution")
    sys.modules["solution"] = module
    tests = {"__name__": "tests", "__builtins__": dict(vars(builtins))}
    take = {"take": job["take"], "defines": frozenset(job["defines"]), "tests": tests,
            "solution": vars(module), "builtin_names": frozenset(vars(builtins))}
    end = {"write": os.write, "secret": job["secret"].encode()}
    def of(text, name, scope):
        return compile(text, name, "exec"), scope
    try:
        context = [of(job["context"], "context", scope) for scope in (vars(module), tests)]
    except (SyntaxError, ValueError):
        context = []
    for text in job["solutions"]:
        try:
            solution = of(text, "solution", vars(module))
            break
        except (SyntaxError, ValueError) as error:
            solution = error
    if isinstance(solution, Exception):
        raise solution
    return (context + [solution, of(TAKE, "take", take)]
            + [of(text, "tests", tests) for text in job["tests"]]
            + [of("write(3, secret)", "end", end)])

def read():
    with open(0, "rb", buffering=0, closefd=False) as file:
        job = json.loads(file.readall())
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for name, value in job["limits"].items():
        limit = getattr(resource, name)
        most = resource.getrlimit(limit)[1]
        if most != resource.RLIM_INFINITY:
            value = min(value, most)
        resource.setrlimit(limit, (value, value))
    os.write(3, b"R")
    return job

sys.path[:] = [path for path in sys.path if path]
sys.addaudithook(refuse)
del refuse
deque(map(exec, *zip(*steps(read()))), 0)
)py";

using data::Subprocess;
using nlohmann::json;
using Clock = Subprocess::Clock;

constexpr int64_t kMiB = 1 << 20;
constexpr int kOpenFiles = 64;
constexpr int kOwnTasks = 2;  // bubblewrap's own processes in the tree
// Time in which bubblewrap and Python must start, on a busy machine.
constexpr double kStartSeconds = 30;
constexpr auto kLook = std::chrono::milliseconds(20);

// Returns 128 random bits in hexadecimal.
std::string Secret() {
  std::array<unsigned char, 16> bytes;
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    Fail("the code oracle needs random numbers, and the system has none");
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

json Limits(const Sandbox& sandbox, const OracleOptions& options) {
  return {{"RLIMIT_AS", options.memory * kMiB},
          {"RLIMIT_CPU", static_cast<int64_t>(std::ceil(options.timeout)) + 1},
          {"RLIMIT_FSIZE", options.files * kMiB},
          {"RLIMIT_NPROC", sandbox.ProcessLimit(options.processes)},
          {"RLIMIT_NOFILE", kOpenFiles},
          {"RLIMIT_CORE", 0}};
}

std::string JobText(const CodeJob& job, const std::string& secret, const Sandbox& sandbox,
                    const OracleOptions& options) {
  const json text = {{"limits", Limits(sandbox, options)},
                     {"context", job.context},
                     {"solutions", job.solutions},
                     {"take", job.take ? json(*job.take) : json()},
                     {"defines", job.defines},
                     {"tests", job.tests},
                     {"secret", secret}};
  // Bytes that are not UTF-8 are replaced: a response that was cut inside a character is no reason
  // to stop.
  return text.dump(-1, ' ', false, json::error_handler_t::replace);
}

Clock::time_point After(double seconds) {
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// Follows one run to its end and notes what it reports.
class Watch {
 public:
  Watch(Subprocess& child, const std::string& secret, const OracleOptions& options)
      : child_(child), want_("R" + secret), options_(options), deadline_(After(kStartSeconds)) {}

  CodeOutcome Run() {
    while (!IsOver()) {
    }
    return {started_, passed_, child_.text(Subprocess::kErrors)};
  }

 private:
  bool IsOver() {
    const auto step = child_.Pump(std::min(deadline_, Clock::now() + kLook));
    const std::string& report = child_.text(Subprocess::kReport);
    if (!started_ && report.starts_with('R')) {
      started_ = true;
      deadline_ = After(options_.timeout);
    }
    // A report that comes too late is late, even if both show in one step.
    if (Clock::now() >= deadline_) return true;
    if (report == want_) return passed_ = !PrintsTooMuch(), true;
    return !want_.starts_with(report) || child_.ended(Subprocess::kReport) || PrintsTooMuch() ||
           step == Subprocess::Step::kFinished || TakesTooMuch();
  }
  bool PrintsTooMuch() {
    const auto printed =
        child_.text(Subprocess::kOutput).size() + child_.text(Subprocess::kErrors).size();
    return static_cast<int64_t>(printed) > options_.output * 1024;
  }
  bool TakesTooMuch() {
    if (Clock::now() < look_) return false;
    look_ = Clock::now() + kLook;
    const TreeUse use = UseOfTree(child_.id());
    return use.bytes > options_.memory * kMiB || use.tasks > options_.processes + kOwnTasks;
  }

  Subprocess& child_;
  const std::string want_;
  const OracleOptions& options_;
  Clock::time_point deadline_;
  Clock::time_point look_ = Clock::now();
  bool started_ = false, passed_ = false;
};

}  // namespace

CodeOutcome RunCode(const Sandbox& sandbox, const CodeJob& job, const OracleOptions& options) {
  std::unique_ptr<ScratchFolder> folder;
  if (sandbox.kind() == Sandbox::Kind::kNone) folder = std::make_unique<ScratchFolder>();
  const std::string secret = Secret();
  Subprocess child(sandbox.Spec({"/usr/bin/python3", "-s", "-B", "-c", kCodeHarness},
                                folder ? folder->path() : std::filesystem::path()));
  child.Send(JobText(job, secret, sandbox, options));
  child.CloseInput();
  CodeOutcome outcome = Watch(child, secret, options).Run();
  sandbox.Kill(child);
  return outcome;
}

}  // namespace pivotal::pts
