// Apache-2.0. Tests what the sandbox withstands. f() returns 1, and so passes, only if an attack
// worked.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>

#include "data/base/descriptor.h"
#include "tests/pts/oracles/code/sandboxed_oracle.h"
#include "tests/support/temp_dir.h"

namespace pivotal::pts {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr double kTimeout = 2;

OracleOptions Tight() {
  OracleOptions options;
  options.timeout = kTimeout;
  options.memory = 256;
  options.files = 8;
  return options;
}

// Returns options for programs that must pass, however busy the machine is.
OracleOptions Patient() {
  OracleOptions options = Tight();
  options.timeout = 20;
  return options;
}

// Returns the name that test programs carry in /proc/*/comm; their children inherit it.
std::string Marker() { return "hostile" + std::to_string(::getpid()); }

// Returns the ticks that a process has computed for outside the kernel (proc(5), utime); 0 if it is
// gone.
int64_t UserTicks(const fs::path& process) {
  std::ifstream in(process / "stat");
  std::string field;
  for (int i = 1; i < 14; ++i) in >> field;
  int64_t ticks = 0;
  return in >> ticks ? ticks : 0;
}

// Returns the number of processes on the host that carry the marker. On a busy machine those that
// were killed may take seconds to go: waits for them while they don't compute any more.
int Strays() {
  constexpr int kPatience = 50, kMost = 500;  // looks, 20 ms apart
  std::map<fs::path, int64_t> ticks;          // after a second
  for (int look = 0;; ++look) {
    int found = 0;
    bool computes = false;
    std::error_code gone;
    for (const auto& process : fs::directory_iterator("/proc", gone)) {
      std::ifstream in(process.path() / "comm");
      std::string name;
      if (!(in >> name && name == Marker())) continue;
      ++found;
      if (look < kPatience) continue;
      const int64_t now = UserTicks(process.path());
      computes = computes || now > ticks.emplace(process.path(), now).first->second;
    }
    if (found == 0 || computes || look == kMost) return found;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

// Judges `code`, which defines f(); all of its processes carry the marker.
bool Judge(const std::string& code, const OracleOptions& options = Tight()) {
  constexpr std::string_view kAnswer =
      R"x({"entry_point":"f","test":"def check(c):\n    assert abs(c() - 1) < 1e-6"})x";
  const std::string mark = "open('/proc/self/comm', 'w').write('" + Marker() + "')\n";
  return MakeOracle("code", options)->Judge({"def f():\n", kAnswer, mark + code});
}

// Returns a program that returns 1 if `line` throws nothing.
std::string Try(const std::string& line) {
  return "import os, socket, sys\ndef f():\n    " + line + "\n    return 1\n";
}

class HostileCode : public ::testing::Test {
 protected:
  void SetUp() override { PIVOTAL_NEEDS_SANDBOX(); }
  void TearDown() override {
    const double seconds = std::chrono::duration<double>(steady_clock::now() - start_).count();
    EXPECT_EQ(Strays(), 0);
    EXPECT_LT(seconds, kTimeout + 8) << "starts of Python on a busy machine included";
  }
  steady_clock::time_point start_ = steady_clock::now();
};

TEST_F(HostileCode, FindsItsLimitsAndAnEmptyHouse) {
  EXPECT_TRUE(Judge(R"py(
import os, resource
def f():
    limit = lambda name: resource.getrlimit(getattr(resource, "RLIMIT_" + name))
    assert limit("AS") == (256 << 20, 256 << 20)
    assert limit("FSIZE") == (8 << 20, 8 << 20)
    assert limit("CPU") == (21, 21)
    assert limit("NPROC") == (16, 16)
    assert limit("CORE") == (0, 0)
    assert os.getuid() != 0 and os.getpid() == 1
    assert set(os.listdir("/")) <= {"bin", "dev", "etc", "lib", "lib32", "lib64", "proc", "tmp",
                                    "usr"}
    assert set(os.listdir("/etc")) <= {"alternatives", "ld.so.cache"}
    assert os.listdir("/tmp") == [] and os.getcwd() == "/tmp"
    assert set(os.environ) == {"PATH", "HOME", "LANG", "PYTHONHASHSEED", "OMP_NUM_THREADS",
                               "OPENBLAS_NUM_THREADS", "PWD"}
    for number in range(4, 64):
        try:
            os.fstat(number)
        except OSError:
            continue
        raise AssertionError(number)
    capabilities = [line for line in open("/proc/self/status") if line.startswith("Cap")]
    assert all(int(line.split()[1], 16) == 0 for line in capabilities[:3] + capabilities[4:])
    for n in range(100):
        try:
            if os.fork() == 0:
                import time
                time.sleep(10)
                os._exit(0)
        except BlockingIOError:
            assert 10 <= n <= 15
            return 1
)py",
                    Patient()));
}

TEST_F(HostileCode, ForkBomb) {
  EXPECT_FALSE(Judge(R"py(
import os
def f():
    while True:
        try:
            os.fork()
        except OSError:
            pass
)py"));
}

TEST_F(HostileCode, EndlessLoop) { EXPECT_FALSE(Judge("def f():\n    while True: pass\n")); }

TEST_F(HostileCode, TenGigabytes) { EXPECT_FALSE(Judge(Try("x = bytearray(10 * 2**30)"))); }

TEST_F(HostileCode, MemoryOfManyProcesses) {
  EXPECT_FALSE(Judge(R"py(
import os, time
def f():
    for _ in range(8):
        if os.fork() == 0:
            held = b"x" * (100 << 20)
            time.sleep(10)
            os._exit(0)
    time.sleep(1.5)
    return 1
)py"));
}

TEST_F(HostileCode, MemoryThatNoLimitCounts) {
  EXPECT_FALSE(Judge(Try("os.memfd_create('x')")));
  EXPECT_FALSE(Judge(Try("open('/dev/shm/x', 'w')")));
  EXPECT_FALSE(Judge(Try("open('/x', 'w')")));
}

TEST_F(HostileCode, FillsTheDisk) {
  const std::string write = "open(f'/tmp/{i}', 'wb').write(b'x' * (1 << 20))";
  EXPECT_FALSE(Judge(Try("[" + write + " for i in range(9)]")));
  EXPECT_TRUE(Judge(Try("[" + write + " for i in range(7)]"), Patient()));
}

TEST_F(HostileCode, Network) {
  const data::Descriptor server(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(server.get(), any, size), 0);
  ASSERT_EQ(::listen(server.get(), 1), 0);
  ASSERT_EQ(::getsockname(server.get(), any, &size), 0);
  const std::string port = std::to_string(ntohs(address.sin_port));
  EXPECT_FALSE(Judge(Try("socket.create_connection(('127.0.0.1', " + port + "), timeout=1)")));
  EXPECT_FALSE(Judge(Try("socket.create_connection(('1.1.1.1', 53), timeout=1)")));
}

TEST_F(HostileCode, WritesToTheHomeFolder) {
  const char* home = std::getenv("HOME");
  if (home == nullptr || std::string(home) == "/tmp") GTEST_SKIP() << "no home folder";
  const fs::path canary = fs::path(home) / Marker();
  EXPECT_FALSE(Judge(Try("open('" + canary.string() + "', 'w')")));
  EXPECT_FALSE(Judge(Try("os.makedirs('" + std::string(home) + "/x')")));
  EXPECT_FALSE(fs::exists(canary));
}

TEST_F(HostileCode, ReadsWhatIsNotItsOwn) {
  EXPECT_FALSE(Judge(Try("os.listdir('" PIVOTAL_SOURCE_DIR "')")));
  EXPECT_FALSE(Judge(Try("os.listdir('/root')")));
  EXPECT_FALSE(Judge(Try("os.listdir('/home')")));
  EXPECT_FALSE(Judge(Try("open('/etc/passwd')")));
}

TEST_F(HostileCode, KillsAllThatItCanSee) {
  EXPECT_FALSE(Judge("import os\nos.kill(os.getppid(), 9)\ndef f(): return 2\n"));
  EXPECT_FALSE(Judge("import os\nos.kill(1, 9)\nos.kill(-1, 9)\ndef f(): return 2\n"));
  EXPECT_FALSE(Judge(Try("os.kill(" + std::to_string(::getpid()) + ", 9)")));
}

TEST_F(HostileCode, HugeOutput) {
  EXPECT_FALSE(Judge(Try("for _ in range(1 << 20): print('x' * 1000)")));
  EXPECT_FALSE(Judge(Try("while True: sys.stderr.write('x' * 1000)")));
}

TEST_F(HostileCode, OneHundredThousandLevels) {
  EXPECT_FALSE(
      Judge("import sys\nsys.setrecursionlimit(10**9)\n"
            "def f(): return [f()] + eval('(' * 99999)\n"));
}

TEST_F(HostileCode, LeavesEarly) {
  EXPECT_FALSE(Judge("import sys\nsys.exit(0)\n"));
  EXPECT_FALSE(Judge("import os\ndef f(): os._exit(0)\n"));
  EXPECT_FALSE(Judge("def f(): raise SystemExit\n"));
  EXPECT_FALSE(Judge("import os\ndef f(): os.execv('/bin/true', ['true'])\n"));
  EXPECT_FALSE(Judge("import os\ndef f(): os.abort()\n"));
}

TEST_F(HostileCode, ForgesTheReport) {
  EXPECT_FALSE(Judge("import os\nos.write(3, b'0' * 32)\ndef f(): return 1\n"));
  EXPECT_FALSE(Judge("import os\nos.close(3)\ndef f(): return 1\n"));
  EXPECT_TRUE(Judge("import os\nos.close(1)\nos.close(2)\ndef f(): return 1\n", Patient()))
      << "none of ours";
}

TEST_F(HostileCode, LooksForTheSecret) {
  const std::string hunt = R"py(
import gc, os, re, sys
def values(frame):
    while frame is not None:
        yield from (frame.f_locals, frame.f_globals, frame.f_code.co_consts)
        frame = frame.f_back
def f():
    seen, found = set(), []
    def look(value, depth):
        if isinstance(value, (str, bytes)):
            text = value if isinstance(value, str) else value.decode("latin-1")
            found.extend(re.findall("[0-9a-f]{32}", text))
        elif depth < 6 and id(value) not in seen:
            seen.add(id(value))
            if not isinstance(value, (dict, list, tuple, set, frozenset)):
                value = getattr(value, "__dict__", {})
            for inner in list(value.values() if hasattr(value, "values") else value):
                look(inner, depth + 1)
    for value in values(sys._getframe()):
        look(value, 0)
    look(sys.argv, 0)
    look(sys.stdin.read(), 0)
    look(dict(os.environ), 0)
    MORE
    for secret in {text for text in found if re.search("[a-f]", text)}:
        os.write(3, secret.encode())
    return 2
)py";
  const auto with = [&](const std::string& more) {
    std::string code = hunt;
    return code.replace(code.find("MORE"), 4, more);
  };
  EXPECT_FALSE(Judge(with("pass")));
  EXPECT_FALSE(Judge(with("look(gc.get_objects(), 0)")));
  EXPECT_FALSE(Judge(with("look([gc.get_referrers(x) for x in (exec, os.write)], 0)")));
  EXPECT_FALSE(Judge(with("sys.settrace(lambda frame, event, arg: look(frame.f_globals, 0))")));
}

TEST_F(HostileCode, RedefinesWhatTheTestsUse) {
  EXPECT_FALSE(Judge("def abs(x): return 0\ndef f(): return 2\n"));
  EXPECT_FALSE(Judge("import builtins\nbuiltins.abs = lambda x: 0\ndef f(): return 2\n"));
  EXPECT_FALSE(Judge("def check(c): pass\ndef f(): return 2\n"));
  EXPECT_FALSE(
      Judge("AssertionError = Exception\nimport builtins\n"
            "builtins.AssertionError = Exception\ndef f(): return 2\n"));
  EXPECT_FALSE(Judge("import os\nos.write = print\ndef f(): return 2\n"));
}

TEST_F(HostileCode, ADaemonDiesWithItsSandbox) {
  EXPECT_TRUE(Judge(R"py(
import ctypes, os, time
def f():
    assert ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) != 0  # PR_SET_PDEATHSIG
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(64):
                try:
                    os.close(number)
                except OSError:
                    pass
            time.sleep(60)
        os._exit(0)
    os.wait()
    return 1
)py",
                    Patient()));
}

TEST_F(HostileCode, SymlinksLeadNowhere) {
  const testing::TempDir folder;
  const fs::path file = folder.Write("kept", "x");
  const std::string link = "os.symlink('" + file.string() + "', '/tmp/link'); ";
  EXPECT_FALSE(Judge(Try(link + "open('/tmp/link', 'w')")));
  EXPECT_FALSE(Judge(Try(link + "open('/tmp/link')")));
  EXPECT_TRUE(Judge(Try(link), Patient())) << "/tmp is its own";
  EXPECT_EQ(fs::file_size(file), 1u);
  EXPECT_FALSE(fs::exists(fs::symlink_status("/tmp/link")));
}

TEST_F(HostileCode, NewNamespaces) {
  const std::string unshare =
      "import ctypes; assert ctypes.CDLL(None, use_errno=True).unshare(0x10000000) == 0";
  EXPECT_FALSE(Judge(Try(unshare)));
  EXPECT_FALSE(Judge(Try("assert os.system('unshare --user true') == 0")));
  EXPECT_TRUE(Judge(Try("assert os.system('true') == 0"), Patient()))
      << "programs of /usr can be run";
}

}  // namespace
}  // namespace pivotal::pts
