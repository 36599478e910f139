// Slices of a workspace: apart from one another, all within what was measured.
#include "albert/workspace.h"

#include <cstring>
#include <vector>

#include "backends.h"

namespace albert {

TEST(workspace_slices_are_what_was_measured) {
  const std::unique_ptr<Backend> backend = make_cpu_backend("", 1);
  Workspace workspace(*backend);
  const auto fill = [](float* slice, int64_t floats, int byte) {
    std::memset(slice, byte, static_cast<size_t>(floats) * sizeof(float));
  };
  const auto [one, none, other] = workspace.slices({17, 0, 5});
  EXPECT(workspace.bytes() == (32 + 16) * sizeof(float), workspace.bytes());
  EXPECT(other - one == 32 && none == other, other - one, none - one);
  fill(one, 17, 1), fill(other, 5, 2);
  EXPECT(reinterpret_cast<const char*>(one)[17 * sizeof(float) - 1] == 1, "the slices overlap");

  // A smaller layout has the same memory, a larger one more; none has some too.
  const auto [again] = workspace.slices({40});
  EXPECT(again == one && workspace.bytes() == 48 * sizeof(float), workspace.bytes());
  std::vector<float*> rows(3);
  int runs = 0;
  workspace.lay_out([&] {
    ++runs;
    for (float*& row : rows) row = workspace.take(20);
  });
  EXPECT(runs == 2 && workspace.bytes() == 3 * 32 * sizeof(float), runs, workspace.bytes());
  EXPECT(rows[1] - rows[0] == 32 && rows[2] - rows[1] == 32, rows[1] - rows[0]);
  Workspace empty(*backend);
  EXPECT(empty.slices({0})[0] != nullptr, "no memory");
}

}  // namespace albert
