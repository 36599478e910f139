// Fuzzes the readers of spiece.model and vocab.txt: what loads must encode and decode any text.
#include "tokenizer_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  albert::test::load_and_use({reinterpret_cast<const char*>(data), size}, "fuzz.model");
  return 0;
}
