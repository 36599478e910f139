// Philox against the published known answers of its reference implementation (Random123, kat_vectors).
#include "support/rng.h"

#include "support/error.h"
#include "test.h"

namespace albert {
namespace {

void expect(const Philox4& found, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  EXPECT(found.word[0] == a && found.word[1] == b && found.word[2] == c && found.word[3] == d, std::hex,
         found.word[0]);
}

}  // namespace

TEST(rng_philox_known_answers) {
  expect(philox(0, 0, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
  expect(philox(~0ull, ~0ull, ~0ull), 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
  expect(philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88), 0xd16cfe09, 0x94fdcceb,
         0x5001e420, 0x24126ea1);
}

TEST(rng_words_become_numbers_between_0_and_1) { EXPECT(open_unit(0) > 0 && open_unit(0xffffffff) < 1, ""); }

}  // namespace albert
