// Writes a file so that its name holds either the old content or all of the new, whatever fails in between.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>

#include "error.h"

namespace albert {

// Every failure throws Error{code} that names the path and the system's reason, and leaves no temporary file.
// What is there and is no regular file, such as a folder or device, is refused.
// What a process left that was killed is overwritten some minutes later, where files have locks.
class AtomicFile {
 public:
  AtomicFile(const std::string& path, ErrorCode code);
  ~AtomicFile();  // removes the temporary file unless commit() succeeded
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }

  // Flushes to the disk and gives the file its name.
  void commit();

 private:
  [[noreturn]] void fail(const std::error_code& reason) const;

  std::string path_;
  std::string temporary_;
  ErrorCode code_;
  std::FILE* file_ = nullptr;
};

}  // namespace albert
