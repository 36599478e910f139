// Holds a file or folder against everybody else who would hold it, in this process or another, until
// destroyed. Others may read and write it all the same, and the system lets go of what a killed process held.
#pragma once

#include <memory>
#include <string>

#include "error.h"

namespace albert {

class FileLock {
 public:
  // Creates a file where there is nothing. Null when somebody else holds it; where files have no such locks,
  // as on Windows, nobody is refused. Throws Error{code} for what cannot be opened.
  static std::unique_ptr<FileLock> hold(const std::string& path, ErrorCode code);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace albert
