// A tiny test harness: TEST(name) { EXPECT(...); } registers a case; main.cc runs them and prints 'N passed,
// N failed'.
#pragma once

#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "support/error.h"

namespace albert::test {

struct Case {
  const char* name;
  std::function<void()> body;
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

struct Register {
  Register(const char* name, std::function<void()> body) { cases().push_back({name, std::move(body)}); }
};

// Thrown by EXPECT; Skip is thrown by a case whose data is not on this machine and says which.
struct Failure {
  std::string message;
};
struct Skip {
  std::string reason;
};

bool tests_backend(const std::string& name);  // 'cpu' or 'cuda': whether --backend asks for it
unsigned random_seed();                       // of random operands: any, or --seed
std::string golden_folder();                  // <repository>/test/golden, or what --golden names
// Where the real vocabulary `data/albert-spiece.model` and more of `golden/` are, as ALBERT_TEST_DATA and
// --shared name it; may be empty.
std::string shared_folder();
// A path for a file or folder of this process alone.
std::string temporary(const std::string& name);

// The message of the Error of this code that a body throws; empty where it throws none.
template <typename Body>
std::string refusal(const Body& body, ErrorCode code) {
  try {
    body();
  } catch (const Error& error) {
    if (error.code() != code) throw;
    return error.what();
  }
  return "";
}
template <typename Body>
bool refuses(const Body& body, ErrorCode code) {
  return !refusal(body, code).empty();
}

}  // namespace albert::test

#define TEST(name)                                                         \
  static void test_##name();                                               \
  static const albert::test::Register register_##name(#name, test_##name); \
  static void test_##name()

#define EXPECT(condition, ...)                                                      \
  do {                                                                              \
    if (!(condition)) {                                                             \
      std::ostringstream message_;                                                  \
      message_ << __FILE__ << ":" << __LINE__ << ": expected " << #condition << " " \
               << albert::str(__VA_ARGS__);                                         \
      throw albert::test::Failure{message_.str()};                                  \
    }                                                                               \
  } while (0)
