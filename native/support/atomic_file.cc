// Temporary file beside the target, flush, rename.
#include "atomic_file.h"

#include <cerrno>
#include <filesystem>
#include <system_error>

#if defined(_WIN32)
#include <io.h>
#else
#include <fcntl.h>
#include <unistd.h>
#endif

namespace albert {
namespace {

namespace fs = std::filesystem;

std::FILE* create(const std::string& path) {
#if defined(_WIN32)
  return ::_wfopen(fs::u8path(path).c_str(), L"wbx");
#else
  return std::fopen(path.c_str(), "wbxe");
#endif
}

bool flush_to_disk(std::FILE* file) {
#if defined(_WIN32)
  return std::fflush(file) == 0 && ::_commit(::_fileno(file)) == 0;
#else
  return std::fflush(file) == 0 && ::fsync(::fileno(file)) == 0;
#endif
}

// A rename lives in the folder, so the folder must reach the disk too. Some file systems refuse this; the
// content is safe by then, so a refusal is no failure.
void flush_folder(const fs::path& folder) {
#if !defined(_WIN32)
  int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
#else
  (void)folder;
#endif
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path, ErrorCode code) : path_(path), code_(code) {
  constexpr int kAttempts = 100;  // other writers, and files left by processes that were killed
  for (int i = 0; !file_; ++i) {
    temporary_ = str(path, ".", i, ".tmp");
    file_ = create(temporary_);
    if (!file_ && (errno != EEXIST || i == kAttempts)) fail(errno);
  }
}

AtomicFile::~AtomicFile() {
  if (file_) std::fclose(file_);
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove(fs::u8path(temporary_), ignored);
}

void AtomicFile::write(const void* data, size_t bytes) {
  if (bytes && std::fwrite(data, 1, bytes, file_) != bytes) fail(errno);
}

void AtomicFile::commit() {
  if (!flush_to_disk(file_)) fail(errno);
  int closed = std::fclose(file_);
  file_ = nullptr;
  if (closed != 0) fail(errno);
  std::error_code reason;
  fs::rename(fs::u8path(temporary_), fs::u8path(path_), reason);
  if (reason) fail(reason.value());
  temporary_.clear();
  flush_folder(fs::u8path(path_).parent_path());
}

void AtomicFile::fail(int reason) const {
  throw Error(code_, str(path_, ": cannot be written: ", std::generic_category().message(reason),
                         "; check the folder, its permissions and its free space"));
}

}  // namespace albert
