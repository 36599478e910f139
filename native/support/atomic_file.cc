// Temporary file beside the target, flush, rename.
#include "atomic_file.h"

#include <cerrno>
#include <ctime>
#include <filesystem>

#if defined(_WIN32)
#include <io.h>
#else
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace albert {
namespace {

namespace fs = std::filesystem;

// A temporary file that nobody has written to for so long, and that nobody has locked, has no writer any
// more.
constexpr std::time_t kLeftSeconds = 600;

// A file that nobody else writes; null when the name is taken, or for another reason that errno tells.
std::FILE* create(const std::string& path) {
#if defined(_WIN32)
  return ::_wfopen(fs::u8path(path).c_str(), L"wbx");
#else
  constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
  int descriptor = ::open(path.c_str(), kFlags | O_CREAT | O_EXCL, 0666);
  const bool is_new = descriptor >= 0;
  if (!is_new) {
    if (errno != EEXIST) return nullptr;
    descriptor = ::open(path.c_str(), kFlags);
    if (descriptor < 0) return errno = EEXIST, nullptr;
  }
  // What a killed process left has no lock any more. Locks need not reach writers on other machines; their
  // files are young.
  struct stat opened, named;
  const bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  const bool has_name = ::fstat(descriptor, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
                        opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
  const bool is_left = locked && has_name && std::time(nullptr) - opened.st_mtime > kLeftSeconds;
  std::FILE* file = nullptr;
  if (is_new || (is_left && ::ftruncate(descriptor, 0) == 0)) file = ::fdopen(descriptor, "wb");
  if (file) return file;
  const int reason = is_new ? errno : EEXIST;
  if (is_new) ::unlink(path.c_str());
  ::close(descriptor);
  return errno = reason, nullptr;
#endif
}

std::error_code last_error() { return {errno, std::generic_category()}; }

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
  // A rename would put the file in the place of a device such as /dev/null, for everybody.
  std::error_code unknown;
  const fs::file_status there = fs::status(fs::u8path(path), unknown);
  check(!fs::exists(there) || fs::is_regular_file(there), code, path,
        ": cannot be written: expected a regular file, or none");
  constexpr int kAttempts = 100;  // other writers
  for (int i = 0; !file_; ++i) {
    temporary_ = str(path, ".", i, ".tmp");
    file_ = create(temporary_);
    if (!file_ && (errno != EEXIST || i == kAttempts)) fail(last_error());
  }
}

// The name goes before the lock does: whoever has the lock owns the name. Windows removes no open file.
AtomicFile::~AtomicFile() {
#if defined(_WIN32)
  if (file_) std::fclose(file_);
  file_ = nullptr;
#endif
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove(fs::u8path(temporary_), ignored);
  if (file_) std::fclose(file_);
}

void AtomicFile::write(const void* data, size_t bytes) {
  if (bytes && std::fwrite(data, 1, bytes, file_) != bytes) fail(last_error());
}

void AtomicFile::commit() {
  if (!flush_to_disk(file_)) fail(last_error());
#if defined(_WIN32)
  std::fclose(file_);
  file_ = nullptr;
#endif
  std::error_code reason;
  fs::rename(fs::u8path(temporary_), fs::u8path(path_), reason);
  if (reason) fail(reason);
  temporary_.clear();
  flush_folder(fs::u8path(path_).parent_path());
}

void AtomicFile::fail(const std::error_code& reason) const {
  throw Error(code_, str(path_, ": cannot be written: ", reason.message(),
                         "; check the folder, its permissions and its free space"));
}

}  // namespace albert
