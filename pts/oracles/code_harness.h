// Apache-2.0. The Python program that runs a response and its tests.
#pragma once

namespace pivotal::pts {

// Reads one JSON object from stdin:
//   limits     {"RLIMIT_AS": n, ...}: set for itself and all that it starts
//   context    text that is run first in the module of the solution and in the scope of the tests;
//              left out if it is no Python
//   solution   what the response is, run in its module
//   take       names that the tests see of the solution; null: all, but for those that hide a
//              builtin and are not in `defines`
//   defines    see `take`
//   tests      texts that are run one after another in the scope of the tests
//   secret     what is written to descriptor 3 when the last of them has ended
// and writes "R" to descriptor 3 once it has read it and the limits hold.
//
// A response must not pass by leaving early (sys.exit, os._exit), so only the secret counts. While
// the response runs, no frame has the secret in a variable, stdin is empty, and what could list it
// or step into the tests (gc's lists, tracing) is refused. The tests have a scope and builtins of
// their own, so a response that redefines `abs` or `check` does not change them. All of this is one
// process: a program that is written against this harness (reads its own memory, patches modules
// that the tests use, returns objects that are equal to everything) can pass without solving
// anything.
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
    return (context + [of(job["solution"], "solution", vars(module)), of(TAKE, "take", take)]
            + [of(text, "tests", tests) for text in job["tests"]]
            + [of("write(3, secret)", "end", end)])

def read():
    with open(0, "rb", buffering=0, closefd=False) as file:
        job = json.loads(file.readall())
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for name, value in job["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    os.write(3, b"R")
    return job

sys.path[:] = [path for path in sys.path if path]
sys.addaudithook(refuse)
del refuse
deque(map(exec, *zip(*steps(read()))), 0)
)py";

}  // namespace pivotal::pts
