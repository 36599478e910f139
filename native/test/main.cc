// Runs every registered test of the native core: albert_test [--filter text] [--backend cpu|cuda] [--golden
// folder] [--shared folder] [--seed N, which an earlier run printed]. With --bench cpu|cuda it times that
// device instead, with --tokens N batches of at most N tokens alone, with --dtype fp32|bf16 that type alone,
// with --case text the cases whose name has it.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <random>

#include "bench.h"
#include "support/error.h"
#include "test.h"

namespace albert::test {
namespace {
std::string golden = "test/golden";
std::string shared, backend;
unsigned seed = std::random_device{}();
constexpr const char* kOptions = "the head of native/test/main.cc lists the options";
}  // namespace
std::string golden_folder() { return golden; }
std::string shared_folder() { return shared; }
std::string temporary(const std::string& name) {
  static const unsigned process = std::random_device{}();
  return (std::filesystem::temp_directory_path() / str("albert-test-", process, "-", name)).string();
}
unsigned random_seed() { return seed; }
bool tests_backend(const std::string& name) { return backend.empty() || backend == name; }
}  // namespace albert::test

int main(int argc, char** argv) {
  using namespace albert::test;
  const char* filter = "";
  const char* bench_device = nullptr;
  const char *dtype = "", *bench_case = "";
  int64_t most_tokens = 1 << 20;
  const char* data = std::getenv("ALBERT_TEST_DATA");
  if (data)
    shared = data;
  else if (std::ifstream("../shared/README.md"))
    shared = "../shared";
  for (int i = 1; i < argc; i += 2) {
    const char* const value = argv[i + 1];  // null past the last
    if (!value)
      return std::fprintf(stderr, "expected a value after %s; %s\n", argv[i], kOptions), 2;
    else if (!std::strcmp(argv[i], "--filter"))
      filter = value;
    else if (!std::strcmp(argv[i], "--golden"))
      golden = value;
    else if (!std::strcmp(argv[i], "--shared"))
      shared = value;
    else if (!std::strcmp(argv[i], "--backend"))
      backend = value;
    else if (!std::strcmp(argv[i], "--seed"))
      seed = static_cast<unsigned>(std::strtoul(value, nullptr, 10));
    else if (!std::strcmp(argv[i], "--bench"))
      bench_device = value;
    else if (!std::strcmp(argv[i], "--tokens"))
      most_tokens = std::atoll(value);
    else if (!std::strcmp(argv[i], "--dtype"))
      dtype = value;
    else if (!std::strcmp(argv[i], "--case"))
      bench_case = value;
    else
      return std::fprintf(stderr, "unknown option %s; %s\n", argv[i], kOptions), 2;
  }
  if (bench_device) return bench({bench_device, most_tokens, dtype, bench_case}), 0;
  int passed = 0, failed = 0, skipped = 0;
  for (const Case& test : cases()) {
    if (!std::strstr(test.name, filter)) continue;
    try {
      test.body();
      ++passed;
    } catch (const Skip& skip) {
      ++skipped;
      std::printf("skipped %s: %s\n", test.name, skip.reason.c_str());
    } catch (const Failure& failure) {
      ++failed;
      std::printf("FAILED %s\n  %s\n", test.name, failure.message.c_str());
    } catch (const std::exception& error) {
      ++failed;
      std::printf("FAILED %s\n  unexpected exception: %s\n", test.name, error.what());
    }
  }
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed ? 1 : 0;
}
