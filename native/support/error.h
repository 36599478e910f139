// The one exception type of the native code, its codes, and the helper that words its messages.
#pragma once

#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>

namespace albert {

enum class ErrorCode {
  kInvalidArgument,
  kInvalidConfig,
  kCheckpoint,
  kTokenizer,
  kTooLong,
  kOutOfVocabulary,
  kOutOfMemory,
  kDevice,
  kAborted,
  kDisposed,
  kDiverged,
  kData,
};

// The spelling users see as `error.code`.
inline const char* to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case ErrorCode::kInvalidConfig:
      return "INVALID_CONFIG";
    case ErrorCode::kCheckpoint:
      return "CHECKPOINT";
    case ErrorCode::kTokenizer:
      return "TOKENIZER";
    case ErrorCode::kTooLong:
      return "TOO_LONG";
    case ErrorCode::kOutOfVocabulary:
      return "OUT_OF_VOCABULARY";
    case ErrorCode::kOutOfMemory:
      return "OUT_OF_MEMORY";
    case ErrorCode::kDevice:
      return "DEVICE";
    case ErrorCode::kAborted:
      return "ABORTED";
    case ErrorCode::kDisposed:
      return "DISPOSED";
    case ErrorCode::kDiverged:
      return "DIVERGED";
    case ErrorCode::kData:
      return "DATA";
  }
  return "INVALID_ARGUMENT";
}

// A message says what was expected, what came, and what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// Joins its arguments with operator<<: str("expected ", 3, " values"). Numbers look the same whatever locale
// the process has set: file headers are made of them too.
inline std::string str() { return {}; }
template <typename... Args>
std::string str(const Args&... args) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  (out << ... << args);
  return out.str();
}

// Throws Error{code, str(args...)} unless the condition holds.
template <typename... Args>
void check(bool condition, ErrorCode code, const Args&... args) {
  if (!condition) throw Error(code, str(args...));
}

}  // namespace albert
