// Advisory locks of open files.
#include "file_lock.h"

#if !defined(_WIN32)
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#endif

#include <cerrno>
#include <system_error>

namespace albert {

#if defined(_WIN32)

std::unique_ptr<FileLock> FileLock::hold(const std::string&, ErrorCode) {
  return std::unique_ptr<FileLock>(new FileLock(-1));
}
FileLock::~FileLock() = default;

#else

std::unique_ptr<FileLock> FileLock::hold(const std::string& path, ErrorCode code) {
  int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0 && errno == EISDIR) descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  check(descriptor >= 0, code, path, ": cannot be opened: ", std::generic_category().message(errno));
  std::unique_ptr<FileLock> lock(new FileLock(descriptor));
  const bool refused = ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  return refused ? nullptr : std::move(lock);
}
FileLock::~FileLock() { ::close(descriptor_); }

#endif

}  // namespace albert
