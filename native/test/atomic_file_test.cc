// Files that are replaced whole: what killed writers left, writers at once, and one that gives up.
#include "support/atomic_file.h"

#if !defined(_WIN32)
#include <sys/stat.h>
#endif

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "test.h"

namespace albert::test {
namespace {

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A folder of this process, empty at first, and how many files it has.
struct Folder {
  explicit Folder(const char* name) : path(temporary(name)) { std::filesystem::create_directory(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  int64_t files() const {
    return std::distance(std::filesystem::directory_iterator(path), std::filesystem::directory_iterator());
  }
  const std::string path;
};

void replace(const std::string& path, const std::string& content) {
  AtomicFile file(path, ErrorCode::kData);
  file.write(content);
  file.commit();
}

}  // namespace

TEST(what_a_killed_writer_left_is_used_again) {
  const Folder folder("left");
  const std::string path = folder.path + "/file";
  const std::string left = path + ".0.tmp";
  std::ofstream(left) << "more than what comes";
  replace(path, "new");
  EXPECT(content_of(path) == "new" && folder.files() == 2,
         "it may have a writer elsewhere: ", folder.files());
  std::filesystem::last_write_time(left,
                                   std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  replace(path, "newer");
  EXPECT(content_of(path) == "newer" && folder.files() == 1, content_of(path), folder.files());
}

TEST(writers_at_once_give_whole_files) {
  const Folder folder("at-once");
  const std::string path = folder.path + "/file";
  AtomicFile first(path, ErrorCode::kData);
  first.write("first");
  replace(path, "second");
  EXPECT(content_of(path) == "second", content_of(path));
  first.commit();
  EXPECT(content_of(path) == "first", content_of(path));
  std::vector<std::thread> writers;
  for (char c = 'a'; c < 'i'; ++c)
    writers.emplace_back([&, c] {
      for (int i = 0; i < 50; ++i) replace(path, std::string(20000, c));
    });
  int mixed = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string content = content_of(path);
    mixed += content != "first" && content != std::string(20000, content[0]);
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT(mixed == 0, mixed, " files of several writers");
  EXPECT(content_of(path).size() == 20000 && folder.files() == 1, folder.files());
}

TEST(a_writer_that_gives_up_leaves_the_old_file) {
  const Folder folder("gives-up");
  const std::string path = folder.path + "/file";
  replace(path, "old");
  { AtomicFile(path, ErrorCode::kData).write("new"); }
  EXPECT(content_of(path) == "old" && folder.files() == 1, content_of(path));
  EXPECT(refuses([&] { replace(folder.path + "/none/file", ""); }, ErrorCode::kData), "a folder that is not");
}

#if !defined(_WIN32)
TEST(what_is_no_regular_file_is_not_replaced) {
  const Folder folder("pipe");
  const std::string path = folder.path + "/pipe";
  EXPECT(::mkfifo(path.c_str(), 0600) == 0, "no pipe");
  EXPECT(refuses([&] { replace(path, "new"); }, ErrorCode::kData), "a pipe");
  EXPECT(std::filesystem::is_fifo(path) && folder.files() == 1, folder.files());
}
#endif

}  // namespace albert::test
